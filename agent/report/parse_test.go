package report

import (
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

// agentName is that of agents in the tests that have one.
const agentName = "blue"

// parsed is what a forge's parser finds in Markdown.
type parsed struct {
	headings []string
	html     []string
	bold     []string
	fences   []string // lines of all blocks of code
	outside  string   // text that is not code, a line each node
	visible  string   // all text in paragraphs, with the code
	others   []string // kinds of nodes that no report has
}

func parse(source string) parsed {
	src := []byte(source)
	var p parsed
	root := markdown.Parser().Parse(text.NewReader(src))
	_ = ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.headings = append(p.headings, strings.TrimPrefix(inline(n, src), agentName+": "))
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				p.html = append(p.html, strings.TrimSpace(string(line.Value(src))))
			}
			if n.HasClosure() {
				p.html = append(p.html, strings.TrimSpace(string(n.ClosureLine.Value(src))))
			}
		case *ast.FencedCodeBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				p.fences = append(p.fences, string(line.Value(src)))
			}
			if language := string(n.Language(src)); language != "diff" {
				p.others = append(p.others, "block of "+language)
			}
		case *ast.Emphasis:
			if n.Level != 2 {
				p.others = append(p.others, "emphasis")
			}
			p.bold = append(p.bold, inline(n, src))
		case *ast.Text:
			value := string(n.Value(src))
			if _, code := n.Parent().(*ast.CodeSpan); !code {
				value = strings.ReplaceAll(value, "&#124;", "|")
				p.outside += value + "\n"
			}
			p.visible += value
		case *ast.List:
			if n.IsOrdered() {
				p.others = append(p.others, "ordered list")
			}
		case *ast.Document, *ast.Paragraph, *ast.TextBlock, *ast.ListItem, *ast.CodeSpan, *ast.String,
			*east.Table, *east.TableHeader, *east.TableRow, *east.TableCell:
		default:
			p.others = append(p.others, n.Kind().String())
		}
		return ast.WalkContinue, nil
	})
	return p
}

// inline is the text of a node.
func inline(n ast.Node, src []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		if t, ok := c.(*ast.Text); ok {
			b.Write(t.Value(src))
			continue
		}
		b.WriteString(inline(c, src))
	}
	return b.String()
}

// references are what one of the forges makes a link, a mention or a picture of, in text.
var references = regexp.MustCompile(strings.Join([]string{
	`[@#$~^&{}\[\]<\\*_]`, `://`, `(?i)\bwww\.`, `:[-+\w]+:`, `\b[A-Z]+-[0-9]`, `(?i)\b[0-9a-f]{7,}\b`, `![0-9\[]`, `(^|\s)%[0-9]`, `\p{L}\.\p{L}`,
}, "|"))

var (
	times = regexp.MustCompile(`\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b`)
	tags  = regexp.MustCompile(`^(<details><summary>[0-9A-Za-z ,]+</summary>|</details>)$`)
	// headlines are the headings that reports have.
	headlines = regexp.MustCompile(`^(Out of date$|There is no plan$|What failed$|To put right before the merge$|Overlay |Model |[0-9]+ (problem|overlay|model|gate)|Nothing changes$)`)
	bolds     = map[string]bool{"DELETE": true, "REPLACE": true, "fails": true, "Left out": true, "Not ready": true,
		"its data goes too": true, "everything in it goes too": true, "all objects of its kind go too": true, "the user's namespace goes too": true}
)

// change is the one reference that is meant to be a link: the commit of a pull request of the agent's own.
var change = regexp.MustCompile(`^The change is the commit [0-9a-f]{40} on the branch `)

// harmlessly checks that Markdown has nothing in it but what reports are made of.
func harmlessly(t testing.TB, source string) parsed {
	t.Helper()
	p := parse(source)
	for _, what := range p.others {
		t.Errorf("there is a %s in %q", what, source)
	}
	open := 0
	for _, line := range p.html {
		if !tags.MatchString(line) {
			t.Errorf("there is HTML: %q", line)
		}
		open += strings.Count(line, "<details>") - strings.Count(line, "</details>")
		if open < 0 {
			t.Error("a fold ends that has not begun")
		}
	}
	if open != 0 {
		t.Errorf("%d folds have no end", open)
	}
	for _, heading := range p.headings {
		if !headlines.MatchString(heading) {
			t.Errorf("there is a heading: %q", heading)
		}
	}
	for _, bold := range p.bold {
		if !bolds[bold] {
			t.Errorf("there is bold text: %q", bold)
		}
	}
	for _, line := range p.fences {
		if !strings.HasPrefix(line, "+ ") && !strings.HasPrefix(line, "- ") && !strings.HasPrefix(line, "  ") {
			t.Errorf("there is a line in a diff that does not belong there: %q", line)
		}
	}
	for line := range strings.Lines(p.outside) {
		if found := references.FindString(times.ReplaceAllString(change.ReplaceAllString(line, "change"), "time")); found != "" {
			t.Errorf("there is %q outside of code: %q", found, line)
		}
	}
	for line := range strings.Lines(source) {
		if strings.HasPrefix(strings.TrimSpace(line), "/") {
			t.Errorf("there is a command for GitLab: %q", line)
		}
		if found := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r != ' ' && !shows(r) }); found >= 0 {
			t.Errorf("there is something hidden in %q", line)
		}
	}
	return p
}

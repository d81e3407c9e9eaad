package report

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/agent/plan"
)

func shows(r rune) bool { return unicode.IsPrint(r) }

// hostile is what names, values and messages are like that somebody made up to do harm.
var hostile = []string{
	"@everyone", "@team/admins please", "#123", "GH-123", "JIRA-12", "owner/repo#1", "!12", "$12", "~bug", "%3", "&4", "4f2a9c1", "CVE-2026-0001",
	"https://evil.example/x", "www.evil.example", "www.", "(WWW.", "mail@evil.example", "javascript:alert(1)", "ftp://evil.example",
	"[link](https://evil.example)", "![picture](https://evil.example/x.png)", "[ref]: https://evil.example", "<https://evil.example>",
	"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</details>", "</summary>", "<!--", "-->", "<a href='x'>", "&lt;b&gt;", "&#64;everyone",
	"# heading", "## heading", "=====", "-----", "- item", "* item", "+ item", "1. item", "2) item", "> quote", "    code", "\tcode", "***", "___", "[ ] todo", "[x] done",
	"*emphasis*", "**bold**", "_emphasis_", "~~gone~~", "`code`", "``", "```", "````", "`", "~~~", "```\n/close\n```", "a`b``c```d", " ` ",
	"$(rm -rf /)", "${HOME}", "`rm -rf /`", "$`x`$", "$$x$$", "{+ added +}", "[- gone -]", "[[_TOC_]]", ":tada:", ":+1:", "a:100:b",
	"/close", "/merge", "\n/approve\n", "a\n\n# b\n\n/close", "a\r\nb", "a|b", `a\|b`, `a\\|b`, "|", "||", "| --- |", `\`, `\\`, "\\`", "a\\`|`b",
	"\u202eevil\u202c", "a\u200bb", "\u2066x\u2069", "\ufeff", "\x00", "\x1b[31mred\x1b[0m", "\xff\xfe", "\u2028", "a\u00a0b", "\U000e0041",
	"", " ", "  ", "이름", "v8", "0.944 - 0.002 = 0.942 is needed", "don't", `"quoted"`, "(in brackets)", "12:41:17 UTC", "e.g. this", "Asia/Seoul",
	"1.", "1)", "-", "+", "=", "%", "->", "…", strings.Repeat("x", 5000), strings.Repeat("`", 500), strings.Repeat("a ", 5000), strings.Repeat("|", 900),
}

// Code shows exactly what it is given, wherever it stands.
func checkCode(t *testing.T, s string) {
	shown := visible(s, longestName)
	if s == "" {
		shown = "(empty)"
	}
	for _, form := range []struct{ name, before, after, wantBefore, wantAfter string }{
		{"a sentence", "x ", " y\n", "x ", " y"}, {"an item", "- x ", ": y\n", "x ", ": y"}, {"a heading", "### Overlay ", "\n", "Overlay ", ""},
		{"a table", "| a | b |\n| --- | --- |\n| x ", " | y |\n", "abx ", "y"}, {"a beginning", "", " y\n", "", " y"},
	} {
		p := harmlessly(t, form.before+code(s)+form.after)
		if want := form.wantBefore + shown + form.wantAfter; p.visible != want && strings.TrimSpace(shown) != "" {
			t.Errorf("in %s, %q is shown as %q, want %q", form.name, s, p.visible, want)
		}
	}
}

// Prose shows the words that it is given, in their order.
func checkProse(t *testing.T, s string) {
	for _, form := range []struct{ name, before, after, wantBefore string }{
		{"a sentence", "x ", "\n", "x "}, {"an item", "- ", "\n", ""}, {"a table", "| a |\n| --- |\n| ", " |\n", "a"}, {"a beginning", "", "\n", ""},
	} {
		got := prose(s)
		if strings.Contains(got, "\n") {
			t.Errorf("%q has several lines: %q", s, got)
		}
		p := harmlessly(t, form.before+got+form.after)
		words := strings.Join(strings.Fields(s), " ")
		if utf8.RuneCountInString(words) >= longestMessage || visible(words, all) != words || plan.Masked(s) != s {
			continue // it is not all shown, or not as it is
		}
		if want := form.wantBefore + words; p.visible != strings.TrimRight(want, " ") && p.visible != want {
			t.Errorf("in %s, %q is shown as %q, want %q", form.name, s, p.visible, want)
		}
	}
}

func TestCode(t *testing.T) {
	for _, s := range hostile {
		checkCode(t, s)
	}
	for in, want := range map[string]string{
		"shop/web": "`shop/web`", "a`b": "``a`b``", "`": "`` ` ``", "a|b": "`a`&#124;`b`", "a\u202eb": "`a\\u202eb`", " a ": "`  a  `", " a": "` a`", "": "(empty)",
	} {
		if got := code(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

func TestProse(t *testing.T) {
	for _, s := range hostile {
		checkProse(t, s)
	}
	for in, want := range map[string]string{
		"auc of v8 is 0.944, and at least 0.941 - 0.002 = 0.939 is needed": "auc of v8 is 0.944, and at least 0.941 - 0.002 = 0.939 is needed",
		"the window opens on Mon 2026-11-30 09:00 Asia/Seoul":              "the window opens on Mon 2026-11-30 09:00 Asia/Seoul",
		"v8 has served in staging for 5m of 1h30m":                         "v8 has served in staging for 5m of 1h30m",
		"set metadata.namespace in kustomization.yaml, or leave it":        "set `metadata.namespace` in `kustomization.yaml`, or leave it",
		"ask @team/admins about #12 please":                                "ask `@team/admins` about `#12` please",
		`set "spec.x" (or a.b/c: d)`:                                       "set \"`spec.x`\" (or `a.b/c`: d)",
		"several\nlines\r\n\r\nof text":                                    "several lines of text",
		"in https://bob:hunter2@git.example/x it is":                       "in `https://***@git.example/x` it is",
	} {
		if got := prose(in); got != want {
			t.Errorf("%q is shown as\n%s, want\n%s", in, got, want)
		}
	}
}

func FuzzCode(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkCode(t, s) })
}

func FuzzProse(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkProse(t, s) })
}

package plan

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// hidden stands for what is not shown.
const hidden = "***"

// masked is a value without what is secret in it: the data of Secrets, values whose name says that
// they are secret, and what looks like a key, a token or a password in any text. It rather hides too
// much: a reviewer who has to know the value finds it in the commit.
func masked(ref agent.Ref, path string, value any) any {
	if secretData(ref, path) {
		return hidden
	}
	switch value := value.(type) {
	case string:
		return maskedText(path, value)
	case map[string]any:
		shown := make(map[string]any, len(value))
		for name, v := range value {
			below := join(path, name)
			if variable, ok := value["name"].(string); ok && name == "value" {
				below = join(path+"["+variable+"]", name) // as an element of a list of variables
			}
			shown[name] = masked(ref, below, v)
		}
		return shown
	case []any:
		shown := make([]any, len(value))
		for n, v := range value {
			if shown[n] = masked(ref, path+"["+strconv.Itoa(n)+"]", v); followsFlag(value, n) {
				shown[n] = hidden
			}
		}
		return shown
	}
	return value // numbers and booleans are no secrets
}

// followsFlag tells whether an element of a list of arguments is what --password or its like is to be.
func followsFlag(list []any, n int) bool {
	if n == 0 {
		return false
	}
	before, _ := list[n-1].(string)
	return flag.MatchString(before)
}

func maskedText(path, text string) string {
	switch name := nameOf(path); {
	case text == "":
		return ""
	case !secretName.MatchString(name):
		if name != "image" { // for there secret:1.2 is a tag
			text = hideAssigned(text)
		}
		return Masked(text)
	case text == "true" || text == "false" || text == "null":
		return text
	}
	return hidden
}

// hideAssigned hides what follows on password= and its like, to the end: the value may have many
// lines, so that where the secret ends cannot be told.
func hideAssigned(text string) string {
	text = start(text)
	if at := assigned.FindStringSubmatchIndex(text); at != nil {
		return text[:at[2]] + hidden
	}
	return text
}

// secretData tells what of a Secret is never shown, and the copies that kubectl keeps of objects.
func secretData(ref agent.Ref, path string) bool {
	if strings.Contains(path, "last-applied-configuration") {
		return true
	}
	return ref.Kind == "Secret" && ref.Group == "" && (strings.HasPrefix(path, "data") || strings.HasPrefix(path, "stringData"))
}

// names is what the names of secrets end with: DB_PASSWORD, clientSecret, s3.access-key.
const names = `(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|authorization|connection[-_. ]?string|` +
	`(?:api|access|account|auth|client|encryption|master|private|secret|shared|signing|storage)[-_. ]?key)`

var (
	secretName = regexp.MustCompile(`(?i)(` + names + `|(^|[-_.])pass)$`)
	// assigned finds such a name with a value within a text: password=…, "token": …, --api-key …
	assigned = regexp.MustCompile(`(?is)(?:` + names + `["']?\s*[:=]\s*|(?:^|[\s"'])--[a-z0-9-]*` + names + `\s+)["']?([^\s"'].*)`)
	flag     = regexp.MustCompile(`(?i)^--?[a-z0-9-]*` + names + `$`)
	// variable finds the name of a variable in its path: env[DB_PASSWORD].value.
	variable = regexp.MustCompile(`\[([^\]]*)\]\.value$`)
	unnamed  = regexp.MustCompile(`\benv\[[0-9]+\]\.value$`)
	index    = regexp.MustCompile(`\[[0-9]+\]$`)
	last     = regexp.MustCompile(`\[[^\]]*\]$|[^.\[\]]+$`)
)

// nameOf is what the value at a path is called.
func nameOf(path string) string {
	if unnamed.MatchString(path) {
		return "secret" // it may be one
	}
	if found := variable.FindStringSubmatch(path); found != nil {
		return found[1]
	}
	return strings.Trim(last.FindString(index.ReplaceAllString(path, "")), "[]")
}

// marks are the forms of secrets that tell them from everything else.
var marks = regexp.MustCompile(strings.Join([]string{
	`(?s:-----BEGIN [A-Z ]*PRIVATE KEY.*)`,
	`\bAGE-SECRET-KEY-1[0-9A-Z]*`,
	`\b(?:AKIA|ASIA)[0-9A-Z]{12,}`,
	`\bAIza[0-9A-Za-z_-]{30,}`,
	`\b(?:gh[pousr]|hf|npm|github_pat|glpat|gldt|glrt|xox[abeprs]|dckr_pat|sk|pk|rk)[-_][0-9A-Za-z_-]{16,}`,
	`\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_.-]*`,
	`(?i)\b(?:bearer|basic)\s+[0-9A-Za-z+/=_.~-]{16,}`,
}, "|"))

// login finds the user and password of a URL, also where the text was cut within them.
var login = regexp.MustCompile(`(://)[^\s/?#"']+(@|…$)`)

// Masked is text of any kind without what has the form of a secret.
func Masked(text string) string {
	text = start(text)
	return login.ReplaceAllString(marks.ReplaceAllString(text, hidden), "${1}"+hidden+"${2}")
}

// start is as much of a text as is worth looking at: more than is shown of any.
func start(text string) string {
	const enough = 1024 // bytes
	if len(text) <= enough {
		return text
	}
	return strings.ToValidUTF8(text[:enough], "") + "…"
}

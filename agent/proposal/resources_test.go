package proposal_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/proposal"
)

func TestAddResource(t *testing.T) {
	for name, test := range map[string]struct{ before, want string }{
		"block":                   {"# models\nresources:\n- a.yaml # the first\n\n# later\n- b.yaml\n\nnamespace: fraud\n", "# models\nresources:\n- a.yaml # the first\n\n# later\n- b.yaml\n- new.yaml\n\nnamespace: fraud\n"},
		"indented":                {"resources:\n    - a.yaml\n    # the end\nnamePrefix: x-\n", "resources:\n    - a.yaml\n    - new.yaml\n    # the end\nnamePrefix: x-\n"},
		"quoted":                  {"resources:\n- 'a.yaml'\n- \"b.yaml\"\n", "resources:\n- 'a.yaml'\n- \"b.yaml\"\n- new.yaml\n"},
		"no newline at the end":   {"resources:\n- a.yaml", "resources:\n- a.yaml\n- new.yaml\n"},
		"Windows":                 {"resources:\r\n- a.yaml\r\nnamespace: x\r\n", "resources:\r\n- a.yaml\r\n- new.yaml\r\nnamespace: x\r\n"},
		"empty file":              {"", "resources:\n- new.yaml\n"},
		"no resources":            {"namespace: fraud", "namespace: fraud\nresources:\n- new.yaml\n"},
		"nothing in it":           {"resources:\nnamespace: x\n", "resources:\n- new.yaml\nnamespace: x\n"},
		"nothing, with a comment": {"resources: # none yet\nnamespace: x\n", "resources: # none yet\n- new.yaml\nnamespace: x\n"},
		"flow":                    {"resources: [a.yaml, b.yaml] # both\n", "resources: [a.yaml, b.yaml, new.yaml] # both\n"},
		"flow, empty":             {"resources: []\nnamespace: x\n", "resources: [new.yaml]\nnamespace: x\n"},
		"flow, several lines":     {"resources: [\n  a.yaml,\n  b.yaml,\n]\n", "resources: [\n  a.yaml,\n  b.yaml, new.yaml]\n"},
		"there already":           {"resources:\n- ./new.yaml\n", "resources:\n- ./new.yaml\n"},
		"document marker":         {"---\nresources:\n- a.yaml\n", "---\nresources:\n- a.yaml\n- new.yaml\n"},
	} {
		got, err := proposal.AddResource([]byte(test.before), "new.yaml")
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, test.want)
		}
	}
	for before, says := range map[string]string{
		"resources: # a\u2028- b\n- a.yaml\n":     "line breaks that editors do not show",
		"# a\u0085# b\u0085resources: [a.yaml]\n": "line breaks that editors do not show",
		"resources:\r- a.yaml\r- b.yaml":          "line breaks that editors do not show",
		"- a\n":                                   "it is no kustomization",
		"a: [\n":                                  "it is no YAML",
		"# nothing yet\n":                         "",
		"null\n":                                  "it is no kustomization",
		"a: &a []\nresources: *a\n":               "add new.yaml by hand",
		"resources: a.yaml\n":                     "add new.yaml by hand",
		"resources: {a: b}\n":                     "add new.yaml by hand",
		"resources:\n- >-\n  a.yaml\n":            "add new.yaml by hand",
		"resources:\n- a.yaml\n...\nmore: x\n":    "",
	} {
		got, err := proposal.AddResource([]byte(before), "new.yaml")
		if says == "" {
			continue // whatever it is, it was read again
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q becomes %q, %v, want an error: %s", before, got, err, says)
		}
	}
}

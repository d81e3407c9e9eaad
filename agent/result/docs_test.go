package result_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/result"
)

// TestDocs: the documents that the documentation shows can be read.
func TestDocs(t *testing.T) {
	for _, page := range []string{"../../docs/results.md", "../../docs/retraining.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for _, block := range strings.Split(string(text), "\n```")[1:] {
			language, content, _ := strings.Cut(block, "\n")
			if language != "json" && !(language == "" && strings.HasPrefix(content, "uri: ")) {
				continue
			}
			shown++
			if d, err := result.Parse([]byte(content)); err != nil || len(d.Metrics) == 0 {
				t.Errorf("%s: %v, %+v\n%s", page, err, d, content)
			}
		}
		if shown == 0 {
			t.Errorf("%s shows no document", page)
		}
	}
}

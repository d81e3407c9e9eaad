package manifest

import (
	"bytes"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// Line finds the line, counted from 1, at which an object's document begins in a file of
// YAML documents; 0 if it is not there. It looks at text, so that it also finds objects in
// files that do not parse: the first document with the object's kind and name.
func Line(file []byte, ref agent.Ref) int {
	start, kind, name := 1, false, false
	found := 0
	finish := func() {
		if kind && name && found == 0 {
			found = start
		}
	}
	for n, line := range bytes.Split(file, []byte("\n")) {
		text := strings.TrimRight(string(line), " \r")
		if strings.HasPrefix(text, "---") {
			finish()
			start, kind, name = n+2, false, false
			continue
		}
		kind = kind || text == "kind: "+ref.Kind
		field := strings.TrimSpace(text)
		name = name || field == "name: "+ref.Name || field == `name: "`+ref.Name+`"`
	}
	finish()
	return found
}

package report

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Status is a commit status.
type Status struct {
	Context string // sluice/plan, sluice/shop, sluice/fraud-production
	State   State
	Summary string // plain text, of no more than 140 characters
}

// key is what a status is about.
type key struct {
	short string
	// full is what tells it from everything else.
	full []string
}

// contexts are the names of statuses. What has its short name for itself is called by it, and the rest
// by the full one: an overlay called fraud-production and the model fraud in production.
func contexts(agent string, keys []key) []string {
	alike := map[string]int{"plan": 1}
	for _, k := range keys {
		alike[k.short]++
	}
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		name := k.short
		if alike[name] > 1 {
			name = strings.Join(slices.DeleteFunc(slices.Clone(k.full), func(s string) bool { return s == "" }), "/")
		}
		names = append(names, context(agent, name))
	}
	return names
}

// longestContext is less than all forges take.
const longestContext = 200

// context is the name of a status: sluice/shop, or sluice/blue/shop of the agent blue. One that is too
// long ends with a digest of it all.
func context(agent, name string) string {
	if agent != "" {
		name = agent + "/" + name
	}
	name = visible("sluice/"+name, all)
	if len(name) <= longestContext {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s-%x", strings.ToValidUTF8(name[:longestContext-13], ""), sum[:6])
}

package forge_test

import (
	"testing"

	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/forge/forgetest"
)

// TestContract plays the same story on all forges, with pages so small that everything takes several.
func TestContract(t *testing.T) {
	for _, c := range []struct {
		name  string
		open  func(*testing.T) *world
		forge forge.Provider
		some  []forge.Method
	}{
		{"gitea", giteaWorld, forge.Gitea, []forge.Method{forge.Merge, forge.Squash, forge.Rebase}},
		{"github", gitHubWorld, forge.GitHub, []forge.Method{forge.Merge, forge.Squash, forge.Rebase}},
		{"gitlab", gitLabWorld, forge.GitLab, []forge.Method{forge.Merge, forge.Squash}},
		{"gitlab with fast-forward", fastForwardWorld, forge.GitLab, []forge.Method{forge.Rebase, forge.Squash}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.open(t)
			w.most = 1
			forgetest.Run(t, w.site(w.open(c.forge), c.some...))
		})
	}
}

func giteaWorld(t *testing.T) *world  { return newWorld(t, "token "+token, giteaServer) }
func gitHubWorld(t *testing.T) *world { return newWorld(t, "Bearer "+token, gitHub) }
func gitLabWorld(t *testing.T) *world { return newWorld(t, "Bearer "+token, gitLabServer) }
func fastForwardWorld(t *testing.T) *world {
	w := gitLabWorld(t)
	w.fastForward = true
	return w
}

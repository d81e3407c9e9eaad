package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	gosync "sync"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Fetcher keeps a mirror for the pull requests of each Repository, apart from the one that its Overlays
// live from.
type Fetcher struct {
	// Live reads Secrets.
	Live client.Reader
	// Dir holds the mirrors.
	Dir           string
	AllowInsecure bool

	mu      gosync.Mutex
	mirrors map[types.UID]mirror
}

// mirror is the one of a Repository as long as that has the same URL.
type mirror struct {
	*gitrepo.Mirror
	url, dir string
}

// Merge makes the commit that merging head into base comes to, in the mirror at dir. An error is a
// [*gitrepo.Error]: of Kind Conflict if people have to merge.
func (f *Fetcher) Merge(ctx context.Context, repo *v1alpha1.Repository, base agent.Revision, head, ancestor string) (dir string, merged gitrepo.Merged, err error) {
	m, err := f.mirror(repo)
	if err != nil {
		return "", gitrepo.Merged{}, err
	}
	remote, err := gitrepo.RemoteOf(ctx, repo, f.Live, f.AllowInsecure)
	if err != nil {
		return "", gitrepo.Merged{}, err
	}
	branch := strings.TrimPrefix(base.Name, "refs/heads/")
	wants := []gitrepo.Want{{Commit: base.Commit, Branch: branch}, {Commit: ancestor, Branch: branch}, {Commit: head}}
	if _, err := m.FetchAll(ctx, remote, wants...); err != nil {
		return "", gitrepo.Merged{}, err
	}
	merged, err = m.Merge(ctx, gitrepo.MergeSpec{Name: base.Name, Ours: base.Commit, Theirs: head, Ancestor: ancestor})
	return m.dir, merged, err
}

// mirror returns the mirror of a Repository.
func (f *Fetcher) mirror(repo *v1alpha1.Repository) (mirror, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, known := f.mirrors[repo.UID]
	if known && m.url == repo.Spec.URL {
		return m, nil
	}
	sum := sha256.Sum256([]byte(repo.Spec.URL))
	dir := filepath.Join(f.Dir, string(repo.UID)+"-"+hex.EncodeToString(sum[:4]))
	f.remove(repo.UID, dir)
	opened, err := gitrepo.Open(dir)
	if err != nil {
		return mirror{}, err
	}
	if f.mirrors == nil {
		f.mirrors = map[types.UID]mirror{}
	}
	m = mirror{opened, repo.Spec.URL, dir}
	f.mirrors[repo.UID] = m
	return m, nil
}

// Forget removes the mirror of a Repository.
func (f *Fetcher) Forget(repository types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mirrors, repository)
	f.remove(repository, "")
}

// remove removes the mirrors of a Repository but for one. What stays is of no harm, and is removed the
// next time.
func (f *Fetcher) remove(repository types.UID, but string) {
	dirs, _ := filepath.Glob(filepath.Join(f.Dir, string(repository)+"-*")) // the pattern is a good one
	for _, dir := range dirs {
		if dir != but {
			_ = os.RemoveAll(dir)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/gitserver"
)

// serveGit puts overlays/ into a repository, serves it and clones it, as somebody would who
// makes the example theirs.
func (d *demo) serveGit(ctx context.Context) (string, error) {
	var err error
	if d.git, err = gitserver.Start(gitserver.Options{Dir: filepath.Join(d.dir, "git")}); err != nil {
		return "", err
	}
	if d.repo, err = d.git.Create("ml/platform"); err != nil {
		return "", err
	}
	files, err := d.platform()
	if err != nil {
		return "", err
	}
	if _, err := d.repo.Commit(gitserver.Change{Message: "A platform to start from", Files: files}); err != nil {
		return "", err
	}
	_, err = d.command(ctx, d.dir, "git clone --quiet "+d.repo.URL+" "+filepath.Base(d.clone()))
	return fmt.Sprintf("%s, %d files of overlays/", d.repo.URL, len(files)), err
}

// platform is overlays/ with the two lines changed that are different here: where the
// repository is, and how often to look, for there is no webhook.
func (d *demo) platform() (map[string]string, error) {
	files := map[string]string{}
	overlays := os.DirFS(d.root)
	err := fs.WalkDir(overlays, "overlays", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(overlays, path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	const repository = "overlays/sluice/repository.yaml"
	for field, value := range map[string]string{"url: ": d.repo.URL, "interval: ": "1s"} {
		before, after, found := strings.Cut(files[repository], field)
		_, rest, ended := strings.Cut(after, "\n")
		if !found || !ended {
			return nil, fmt.Errorf("%s has no line %q", repository, field)
		}
		files[repository] = before + field + value + "\n" + rest
	}
	return files, nil
}

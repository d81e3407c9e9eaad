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

// serveGit puts the platform into a repository, serves it and clones it, as somebody would who
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

// platform is overlays/, and what this directory has to add to it, with the lines changed that
// are different here: where the repository is and how often to look, for there is no webhook; and
// who answers for the model.
func (d *demo) platform() (map[string]string, error) {
	files := map[string]string{}
	for _, above := range []string{d.root, filepath.Join(d.root, "e2e", "demo")} {
		if err := addOverlays(files, os.DirFS(above)); err != nil {
			return nil, err
		}
	}
	const repository, churn = "overlays/sluice/repository.yaml", "overlays/models/churn/model.yaml"
	for _, line := range []struct{ file, field, value string }{
		{repository, "url: ", d.repo.URL},
		{repository, "interval: ", "1s"},
		{churn, "url: ", d.answers.url + "/${service}/v1/models/${model}"},
	} {
		before, after, found := strings.Cut(files[line.file], line.field)
		_, rest, ended := strings.Cut(after, "\n")
		if !found || !ended {
			return nil, fmt.Errorf("%s has no line %q", line.file, line.field)
		}
		files[line.file] = before + line.field + line.value + "\n" + rest
	}
	return files, nil
}

// addOverlays adds the files of a directory overlays.
func addOverlays(files map[string]string, from fs.FS) error {
	return fs.WalkDir(from, "overlays", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, path)
		files[path] = string(content)
		return err
	})
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// place is a path on disk as part of a repository.
type place struct {
	root  string // of the repository, absolute
	path  string // relative to the root, with slashes; "." for the root itself
	inGit bool   // the root has a .git
}

// locate finds the repository that a path lies in, by the .git of a directory above. A path
// in none is its own root.
func locate(name string) (place, error) {
	full, err := filepath.Abs(name)
	if err == nil {
		full, err = filepath.EvalSymlinks(full)
	}
	if os.IsNotExist(err) {
		return place{}, fmt.Errorf("there is no directory %s", name)
	}
	if err != nil {
		return place{}, err
	}
	if info, err := os.Stat(full); err != nil || !info.IsDir() {
		return place{}, fmt.Errorf("%s is no directory: give the one it is in", name)
	}
	for root := full; ; root = filepath.Dir(root) {
		if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil {
			relative, err := filepath.Rel(root, full)
			return place{root: root, path: filepath.ToSlash(relative), inGit: true}, err
		}
		if root == filepath.Dir(root) {
			return place{root: full, path: "."}, nil
		}
	}
}

// remotes are the URLs that a clone has for itself, as far as it can be read.
func (p place) remotes() []string {
	if !p.inGit {
		return nil
	}
	clone, err := openClone(p.root)
	if err != nil {
		return nil
	}
	remotes, err := clone.Remotes()
	if err != nil {
		return nil
	}
	var urls []string
	for _, remote := range remotes {
		urls = append(urls, remote.Config().URLs...)
	}
	return urls
}

// openClone opens the repository at a root, which may be a linked work tree.
func openClone(root string) (*git.Repository, error) {
	repo, err := git.PlainOpenWithOptions(root, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%s is in no Git repository: go into a clone, or give one with --repo", root)
	}
	if err != nil {
		return nil, fmt.Errorf("the Git repository at %s cannot be read: %w", root, err)
	}
	return repo, nil
}

// resolve finds a commit by a branch, a tag, an id or the beginning of one, or a revision as
// Sluice writes it: main@sha1:<commit>, main@4f2a9c1.
func resolve(repo *git.Repository, revision string) (*object.Commit, error) {
	_, short, _ := strings.Cut(revision, "@")
	for _, name := range []string{revision, strings.TrimPrefix(short, "sha1:"), strings.TrimPrefix(revision, "sha1:")} {
		id, err := repo.ResolveRevision(plumbing.Revision(name))
		if err != nil {
			continue
		}
		if commit, err := repo.CommitObject(*id); err == nil {
			return commit, nil
		}
	}
	return nil, fmt.Errorf("there is no revision %s in this clone: check the name, or run git fetch first", revision)
}

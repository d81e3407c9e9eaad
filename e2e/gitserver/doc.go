// Package gitserver is a real Git server on loopback, for tests and demos: git's own
// http-backend behind net/http, and git's own upload-pack and receive-pack behind SSH. It
// needs the git program and nothing else.
//
//	s, err := gitserver.Start(gitserver.Options{})
//	defer s.Close()
//	repo, err := s.Create("ml/platform")
//	hash, err := repo.Commit(gitserver.Change{Files: map[string]string{"a.yaml": "…"}})
//	// clone, fetch and push at repo.URL
//
// Commits are made in the bare repository itself, without a work tree, so a file may have
// any name and be a symlink or a submodule as well. Branches can be moved back, replaced and
// deleted. Access can be limited to basic or bearer credentials, changed while the server
// runs, and put behind TLS with an authority of its own, client certificates or a certificate
// that has expired. Traffic counts what was transferred, so that a test can tell that nothing
// was.
//
// What it never does: listen on anything but loopback unless it is told to, read the user's
// or the system's Git configuration, or run hooks.
package gitserver

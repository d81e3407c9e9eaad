// Package forge is a real forge on loopback, for tests and demos: Gitea, built from its Go module.
//
//	s, err := forge.Start(ctx, forge.Options{})
//	defer s.Stop()
//	alice, err := s.CreateUser(ctx, "alice")
//	repo, err := s.CreateRepo(ctx, alice, forge.RepoSpec{Name: "platform", Files: map[string]string{"a.yaml": "…"}})
//	commit, err := repo.Push(ctx, alice, gitserver.Change{Branch: "tune", Files: map[string]string{"a.yaml": "…"}})
//	pull, err := repo.Open(ctx, alice, forge.PullSpec{Head: "tune", Title: "Tune it"})
//	err = pull.Merge(ctx, bob, forge.Squash)
//	// read and write at s.URL with alice.Token(ctx, "read:repository", …)
//
// Start builds the command in e2e/forge/server when it is not in the cache, which takes some six
// minutes the first time (see package program). Any number of servers run side by side. Each ends
// with Stop, or with the process that started it, however that dies, and keeps all it has in one
// directory that Stop removes. Templates, translations and style sheets are read from Gitea's module
// in the Go module cache; pages have no scripts, for those would have to be built with Node. A server
// does nothing at rest: what Gitea does by the clock is off, and so are mail, mirrors, Actions,
// packages and the index of code.
//
// Clients reach the server through a proxy, which keeps a list of what they ask for (Traffic), so
// that a test can count calls, and which can be told to misbehave (Misbehave). What this package
// does itself, for people and administrators, goes past the proxy: it is neither counted nor
// disturbed. It speaks Gitea's REST API in plain JSON, so that it shares no mistake with a client
// that is tested here. Commits are made by the git program and pushed over HTTP, as people do it.
//
// What it never does: listen on anything but loopback, send a webhook to anything but loopback.
package forge

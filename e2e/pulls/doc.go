// Package pulls has the tests of pull requests: a real Gitea with people, reviews, hooks and merges, a
// real control plane, and the agent between them.
package pulls

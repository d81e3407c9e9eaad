// Package program builds the servers that tests and demos stand on from source, and runs them.
//
// Each is a module of its own below e2e, so that the agent's go.mod stays lean. A binary is
// built once and kept in the cache ($SLUICE_CACHE, or sluice in the user's cache directory)
// under a name that covers everything it is made from: a second use is instant, and a change
// of its sources builds it anew.
//
// A program that was started ends with Stop, or with the process that started it, however
// that dies. Nothing is installed and no other machine is reached, but for the Go modules
// that are not on this machine yet.
package program

// Package task does in the background what takes long: nobody waits for a store, an engine or a forge.
//
// What goes in is a key and what is to be done for it; what comes out, at the next time of asking, is what
// that came to. It is done once at a time for each key, at most so many at once, and whoever asked is told
// when there is an answer. It keeps an answer until it is taken, and nothing after that.
package task

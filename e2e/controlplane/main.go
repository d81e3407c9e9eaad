package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() { os.Exit(run()) }

// run picks the program by the name the binary was called by (a symlink), or else by its
// first argument.
func run() int {
	if command, ok := commands[filepath.Base(os.Args[0])]; ok {
		return command()
	}
	if len(os.Args) > 1 {
		if command, ok := commands[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			return command()
		}
	}
	fmt.Fprintf(os.Stderr, "usage: controlplane COMMAND [flags]\ncommands: %s\n",
		strings.Join(slices.Sorted(maps.Keys(commands)), " "))
	return 2
}

// Command server is Gitea on a Unix socket, with everything it keeps in one directory. Package
// forge starts it.
//
// It is Gitea itself, its whole command: Git's hooks call the same program. Two things differ
// from a build of Gitea's own. SQLite is the one without C, so that no C compiler is needed. And
// a second Unix socket, the door, answers what Gitea's REST API does not (see door.go).
package main

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"code.gitea.io/gitea/cmd"
	gitealog "code.gitea.io/gitea/modules/log"
	"code.gitea.io/gitea/modules/setting"

	// What Gitea renders besides Markdown.
	_ "code.gitea.io/gitea/modules/markup/asciicast"
	_ "code.gitea.io/gitea/modules/markup/console"
	_ "code.gitea.io/gitea/modules/markup/csv"
	_ "code.gitea.io/gitea/modules/markup/markdown"
	_ "code.gitea.io/gitea/modules/markup/orgmode"
)

// version of the module that go.mod requires.
const version = "1.26.0"

func main() {
	setting.AppVer = version
	setting.AppStartTime = time.Now().UTC()
	registerSQLite()

	arguments := os.Args
	if len(arguments) == 4 && arguments[1] == "serve" && arguments[3] == "--follow-stdin" {
		dir := arguments[2]
		go endWithStdin()
		go func() { log.Fatal(serveDoor(filepath.Join(dir, "door.sock"))) }()
		arguments = []string{arguments[0], "web", "--config", filepath.Join(dir, "app.ini"), "--work-path", dir, "--pid", filepath.Join(dir, "pid")}
	}
	_ = cmd.RunMainApp(cmd.NewMainApp(cmd.AppVersion{Version: version}), arguments...) // it says what is wrong itself
	gitealog.GetManager().Close()
}

// endWithStdin ends the process when the one at the other end of its standard input has closed
// it, or has died. Its children read from pipes that close then, and end too.
func endWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0) // nobody uses what it keeps again
}

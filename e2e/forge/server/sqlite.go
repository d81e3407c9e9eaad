package main

import (
	"database/sql"
	"database/sql/driver"
	"strings"

	"code.gitea.io/gitea/modules/setting"
	"modernc.org/sqlite"
)

// registerSQLite gives Gitea the SQLite in Go under the name of the one in C.
func registerSQLite() {
	sql.Register("sqlite3", sqlite3{&sqlite.Driver{}})
	setting.EnableSQLite3 = true
	setting.SupportedDatabaseTypes = append(setting.SupportedDatabaseTypes, "sqlite3")
}

type sqlite3 struct{ *sqlite.Driver }

// Open keeps the file that Gitea names, and how transactions begin, and puts the rest in this
// driver's words. Nothing waits for the disk: the database need not outlive the machine.
func (s sqlite3) Open(name string) (driver.Conn, error) {
	file, _, _ := strings.Cut(name, "?")
	return s.Driver.Open(file + "?mode=rwc&_txlock=immediate&_time_format=sqlite" +
		"&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
}

package e2e

import (
	"path/filepath"
	"strings"
)

// users are those of the console.
func (l *line) users(dir string) {
	file := l.file(dir, "password", "seven green kettles sing\n")
	id := l.json("id", "user", "create", "ama.boateng", "--role", "OPERATOR", "--password-file", file)
	l.run(4, "", "user", "create", "ama.boateng", "--password-file", file) // the name is taken
	l.run(4, "short\n", "user", "create", "kofi", "--password-file", "-")
	l.run(2, "", "user", "create", "kofi") // nobody can be asked for a password
	l.both("ama.boateng OPERATOR", "id", "user", "list")
	l.ok("VIEWER", "user", "update", "ama.boateng", "--role", "VIEWER")
	if role := l.json("role", "user", "update", id, "--role", "ADMIN"); role != "ADMIN" {
		l.t.Errorf("the role is %s", role)
	}
	l.run(2, "", "user", "delete", "ama.boateng") // nobody can be asked
	l.ok("", "user", "delete", "ama.boateng", "--yes")
	l.run(3, "", "user", "delete", "ama.boateng", "--yes")
}

// copies is a backup of the server that runs, and whether it is held.
func (l *line) copies(dir, url string) {
	l.ok("ready", "health", "--url", url)
	l.run(6, "", "health", "--url", "http://127.0.0.1:1")
	file := filepath.Join(dir, "one.backup")
	l.ok("", "backup", file)
	if got := l.run(1, "", "backup", file); !strings.Contains(got, "is there already") {
		l.t.Errorf("a second backup into the same file: %s", got)
	}
	if got := l.run(2, "", "backup", "--addr", "localhost:1", file+"2"); !strings.Contains(got, "--url") {
		l.t.Errorf("a backup of an address that is not asked: %s", got)
	}
	if state := l.json("state", "queue", "held"); state != "NONE" {
		l.t.Errorf("the server is %s", state)
	}
	l.run(4, "", "queue", "release", "--doubtful", "fail", "--yes") // nothing is held
	l.run(2, "", "queue", "release", "--yes")                       // there is no default
}

// checked reads the backup again, without a server.
func (l *line) checked(dir string) {
	l.ok("", "restore", "--check", filepath.Join(dir, "one.backup"))
	l.run(1, "", "restore", "--check", l.file(dir, "none.backup", "no backup"))
}

package config

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// Print writes what is in force as a table, with secrets masked. Kept are
// settings that nobody gave and that the data folder holds: this package does not
// know its files.
func Print(w io.Writer, c Config, kept ...Setting) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := [][3]string{{"OPTION", "VALUE", "FROM"}}
	for _, s := range c.inForce(kept) {
		value := s.Value
		if value == "" {
			value = "-"
		}
		rows = append(rows, [3]string{s.Name, value, s.From})
	}
	for _, r := range rows {
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\n", r[0], r[1], r[2]); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

// PrintJSON writes the same as one JSON document per line; what is not set is null.
func PrintJSON(w io.Writer, c Config, kept ...Setting) error {
	e := json.NewEncoder(w)
	for _, s := range c.inForce(kept) {
		row := struct {
			Option string  `json:"option"`
			Value  *string `json:"value"`
			From   string  `json:"from"`
		}{Option: s.Name, From: s.From}
		if s.Value != "" {
			row.Value = &s.Value
		}
		if err := e.Encode(row); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	return nil
}

// inForce is Settings with what the server itself takes for the options that were
// not given.
func (c Config) inForce(kept []Setting) []Setting {
	all := c.Settings()
	for i, s := range all {
		if s.Value != "" {
			continue
		}
		switch s.Name {
		case "COMMS_PUBLIC_URL":
			all[i].Value, all[i].From = c.BaseURL(c.Addr), "COMMS_ADDR"
			if strings.HasSuffix(c.Addr, ":0") { // nobody knows the port before the start
				all[i].Value, all[i].From = "", "the port that the start picks"
			}
		case "COMMS_DATABASE_URL":
			all[i].Value, all[i].From = "sqlite:"+c.Database.Path, "COMMS_DATA_DIR"
			if filepath.IsAbs(c.Database.Path) {
				all[i].Value = "sqlite://" + c.Database.Path
			}
		}
		for _, k := range kept {
			if k.Name == s.Name {
				all[i] = k
			}
		}
	}
	return all
}

// Reference is docs/config.md: every option, made from the table.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from internal/config; change the table there and run "make docs". -->

Nothing has to be set to try CommServer. Every option below is

- an environment variable (` + "`COMMS_DATA_DIR=/var/lib/commserver`" + `),
- a flag of ` + "`commserver serve`" + ` (` + "`--data-dir /var/lib/commserver`" + `), which wins over the variable,
- a variable with ` + "`_FILE`" + ` at its end that names a file holding the value (` + "`COMMS_ADMIN_KEY_FILE=/run/secrets/admin-key`" + `).

Secrets are never taken from a flag, because every user of the machine could read them there: use the variable, its
` + "`_FILE`" + ` form or the flag with ` + "`-file`" + ` at its end. An empty variable counts as not set. An unknown ` + "`COMMS_…`" + ` variable or a
value that cannot be read stops the start with a message that names it. ` + "`commserver config`" + ` prints what is in force, and from
where, with secrets masked.

Durations are a number and a unit: ` + "`500ms`, `10s`, `5m`, `24h`, `30d`" + `.
`)
	group := ""
	for _, o := range Options() {
		if o.Group != group {
			group = o.Group
			b.WriteString("\n## " + group + "\n\n| variable and flag | type | default | meaning |\n|---|---|---|---|\n")
		}
		b.WriteString("| " + referenceName(o) + " | " + o.Type + " | " + referenceDefault(o) + " | " + o.Help + " |\n")
	}
	b.WriteString(`
## Variables that the server ignores

` + "`" + strings.Join(clientVariables(), "`, `") + "`" + ` belong to programs that call CommServer, and to the client commands of
` + "`commserver`" + `. They may stand in the same environment.

Memory is tuned by the variables of the Go runtime: ` + "`GOMEMLIMIT`" + ` and ` + "`GOGC`" + `. Without them the soft limit is three quarters of the
memory of the container or machine (1 GiB where the system does not tell, never below 128 MiB), and ` + "`GOGC`" + ` is 400.
`)
	return b.String()
}

func referenceName(o Option) string {
	names := []string{"`" + o.Env() + "`"}
	for _, flag := range []string{o.Flag(), o.FileFlag()} {
		if flag != "" {
			names = append(names, "`--"+flag+"`")
		}
	}
	return strings.Join(names, "<br>")
}

func referenceDefault(o Option) string {
	switch {
	case o.DefaultNote != "":
		return o.DefaultNote
	case o.Default == "":
		return "empty"
	}
	return "`" + o.Default + "`"
}

// EnvExample is deploy/commserver.env.example: every option that `serve` reads, switched off, with what it does. Secrets
// are named by the files that hold them.
func EnvExample() string {
	var b strings.Builder
	b.WriteString("# Settings of CommServer, one NAME=value on a line, for systemd (EnvironmentFile) and for containers (env_file).\n" +
		"# Written from the table of options by `make docs`; do not edit there. Every line is switched off: its value is the default.\n")
	group := ""
	for _, o := range Options() {
		if o.Group != group {
			group = o.Group
			b.WriteString("\n# == " + group + "\n")
		}
		b.WriteString("\n# " + strings.Join(strings.Fields(o.Help), " ") + "\n")
		if o.Secret || o.url {
			b.WriteString("#" + o.EnvFile() + "=\n")
			continue
		}
		b.WriteString("#" + o.Env() + "=" + o.Default + "\n")
	}
	return b.String()
}

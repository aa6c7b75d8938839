package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		env  []string
		code int
		out  string // in standard output
		err  string // in standard error
	}{
		{"no command is help", nil, nil, exitOK, "Use a server, as an application or its administrator:", ""},
		{"help", []string{"--help"}, nil, exitOK, "Use a server, as an application or its administrator:", ""},
		// A word in backquotes would stand where the kind of value is said: "--max-bytes-in-flight server_busy".
		{"help of a flag", []string{"serve", "--help"}, nil, exitOK, "--max-bytes-in-flight string ", ""},
		{"version", []string{"version"}, nil, exitOK, "commserver ", ""},
		{"version as a flag", []string{"--version"}, nil, exitOK, versionLine() + "\n", ""},
		{"no such command", []string{"bogus"}, nil, exitUsage, "", `unknown command "bogus"`},
		{"no such flag", []string{"serve", "--bogus"}, nil, exitUsage, "", "--bogus"},
		{"words after a command", []string{"config", "bogus"}, nil, exitUsage, "", "bogus"},
		{"bad option", []string{"serve"}, []string{"COMMS_LEASE=soon"}, exitUsage, "", "COMMS_LEASE"},
		{"misspelt option", []string{"config"}, []string{"COMMS_LAESE=5s"}, exitUsage, "", "COMMS_LAESE"},
		{"keys of nothing", []string{"rotate-keys"}, []string{"COMMS_DATA_DIR=/dev/null/data"}, exitFailed, "", "there is no database"},
		{"negative pause", []string{"rotate-keys", "--pause", "-1s"}, nil, exitUsage, "", "--pause"},
		{"cannot be done", []string{"migrate"}, []string{"COMMS_DATA_DIR=/dev/null/data"}, exitFailed, "", "/dev/null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := Run(t.Context(), c.args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: c.env})
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("exit code %d, printed %q, said %q", code, out.String(), errs.String())
			}
		})
	}
}

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
		{"a word misspelt", []string{"mesage", "list"}, nil, exitUsage, "", `did you mean message?`},
		{"a word misspelt below", []string{"message", "lst"}, nil, exitUsage, "", "did you mean list?"},
		{"help with a command that is none", []string{"help", "bogus"}, nil, exitUsage, "", `unknown command "bogus"`},
		{"help with a command", []string{"help", "message", "get"}, nil, exitOK, "Shows a message: where it stands", ""},
		{"help with a command below", []string{"help", "message", "geet"}, nil, exitUsage, "", "did you mean get?"},
		{"a word that is missing", []string{"message", "get"}, nil, exitUsage, "", "it is used as: commserver message get ID [flags]"},
		{"a word too many", []string{"message", "send", "Hello"}, nil, exitUsage, "", "`commserver message send` got \"Hello\"; it is used as:"},
		// Each of these would have been the opposite, or about an app called false.
		{"a value without =", []string{"app", "update", "--sandbox", "false"}, nil, exitUsage, "", "write --sandbox=false"},
		{"a value without =, of a named app", []string{"app", "update", "flow", "--sandbox", "false"}, nil, exitUsage, "", "write --sandbox=false"},
		{"a time without =", []string{"message", "send", "--to", "1", "--body", "x", "--wait", "2m"}, nil, exitUsage, "", "write --wait=2m"},
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

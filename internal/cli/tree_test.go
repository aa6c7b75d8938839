package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/commserver/commserver/internal/config"
)

var update = flag.Bool("update", false, "write the generated pages again")

// walk visits every command of ours.
func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" && !sub.Hidden {
			visit(sub)
			walk(sub, visit)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	seen := 0
	walk(newRoot(Streams{}), func(cmd *cobra.Command) {
		seen++
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || cmd.Args == nil {
			t.Errorf("%s: short help %q, arguments checked: %v", path, cmd.Short, cmd.Args != nil)
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(cmd.Example, path) {
				t.Errorf("%s: the example %q is none of this command", path, cmd.Example)
				break
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.Contains(f.Usage, "`") {
				t.Errorf("%s --%s: usage %q", path, f.Name, f.Usage)
			}
			// A value on a command line is visible to every user of the machine.
			for _, word := range []string{"secret", "password", "key", "token"} {
				known := f.Name == "idempotency-key" || f.Name == "tls-key" || // a file, too
					path == "commserver template list" && f.Name == "key"
				if strings.Contains(f.Name, word) && !strings.HasSuffix(f.Name, "-file") && !known {
					t.Errorf("%s --%s takes a secret by its value", path, f.Name)
				}
			}
		})
	})
	if seen < 50 {
		t.Errorf("only %d commands were seen", seen)
	}
}

// The examples of the help are command lines that the program understands.
func TestExamplesAreUnderstood(t *testing.T) {
	t.Parallel()
	walk(newRoot(Streams{}), func(cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			_, words, ok := strings.Cut(line, "commserver ")
			if !ok {
				continue
			}
			understand(t, line, words)
		}
	})
}

// shellWords splits a line as a shell does, as far as quotes go.
func shellWords(line string) (words []string) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && r == ' ':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	return words
}

func TestDocsAreCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/cli.md"
	if *update {
		if err := os.WriteFile(path, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != reference() {
		t.Errorf("docs/cli.md is not what the commands say; run: make docs")
	}
}

// reference is docs/cli.md.
func reference() string {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the commands by `make docs`; do not edit.\n\n" + outputHelp + "\n\n")
	b.WriteString(connectionHelp + "\n\nSecrets are never given as a value on the command line: every user of the machine could see them there.\n")
	b.WriteString("They come from the environment, from a file (`--…-file`, `-` for standard input) or from a hidden question.\n\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, row := range exitCodes() {
		fmt.Fprintf(&b, "| %d | %s |\n", row.Code, row.Meaning)
	}
	b.WriteString("\n## Completion\n\n`commserver completion bash|zsh|fish|powershell` prints a script; `commserver completion bash --help` says where it goes.\nIds and names are completed too, where the server answers.\n\n## Manual pages\n\n`commserver man /usr/local/share/man/man1`, as root, writes one for each command: `man commserver-message-send`.\n")
	everywhere := &cobra.Command{}
	bindClient(everywhere)
	client, rows := everywhere.PersistentFlags(), ""
	client.VisitAll(func(f *pflag.Flag) { rows, _ = flagRow(rows, f, nil, false) })
	b.WriteString("\n## Flags of every command that calls a server\n\n| flag | meaning |\n|---|---|\n" + rows)
	options := map[string]bool{}
	for _, o := range config.Options() {
		options[o.Flag()], options[o.FileFlag()] = true, true
	}
	walk(newRoot(Streams{}), func(cmd *cobra.Command) {
		mark := "##"
		if cmd.Parent().HasParent() {
			mark = "###"
		}
		fmt.Fprintf(&b, "\n%s %s\n\n%s.\n", mark, cmd.CommandPath(), cmd.Short)
		if long := strings.TrimSpace(strings.ReplaceAll(cmd.Long, connectionHelp, "")); long != "" {
			b.WriteString("\n" + long + "\n")
		}
		if !cmd.HasSubCommands() {
			fmt.Fprintf(&b, "\n`%s`\n", cmd.UseLine())
		}
		b.WriteString("\n```sh\n" + examplesOf(cmd) + "\n```\n")
		rows, left := "", false
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { rows, left = flagRow(rows, f, options, left) })
		cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) {
			if client.Lookup(f.Name) == nil {
				rows, left = flagRow(rows, f, options, left)
			}
		})
		if rows != "" {
			b.WriteString("\n| flag | meaning |\n|---|---|\n" + rows)
		}
		if left {
			b.WriteString("\nEvery option of the [configuration](config.md) is a flag too.\n")
		}
	})
	return b.String()
}

func flagRow(rows string, f *pflag.Flag, options map[string]bool, left bool) (string, bool) {
	if options[f.Name] && f.Name != "" && strings.Contains(f.Usage, "$COMMS_") && !strings.HasPrefix(f.Usage, "file that holds the") {
		return rows, true
	}
	kind, usage := pflag.UnquoteUsage(f)
	name := "`--" + f.Name + "`"
	if kind != "" {
		name = "`--" + f.Name + " " + kind + "`"
	}
	return rows + "| " + name + " | " + strings.ReplaceAll(usage, "|", `\|`) + " |\n", left
}

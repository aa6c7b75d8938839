package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manHelp = `Writes a manual page for each command into a folder, which is made where there is none; pages that are there are written again. As root,
/usr/local/share/man/man1 is where man looks for them. They are made from the commands of this very program: after an upgrade, write them again.`

func manCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "man FOLDER",
		Short:   "Write the manual pages",
		Long:    manHelp,
		Example: "  commserver man /usr/local/share/man/man1\n  commserver man ./man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			n := 0
			for name, page := range manPages(cmd.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(page), 0o644); err != nil {
					return err
				}
				n++
			}
			_, err := fmt.Fprintf(s.Err, "%d manual pages are in %s\n", n, args[0])
			return err
		},
	}
}

// manPages are the pages by the names of their files: of a command and of all below it that help shows, too.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		pages[manName(cmd)+".1"] = manPage(cmd)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				add(sub)
			}
		}
	}
	add(root)
	return pages
}

// manName is a command as pages are called: commserver-message-send.
func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is a page in the macros of man(7). The generator that comes with cobra takes the texts for Markdown: a placeholder such as <id> is
// lost by it, and a line that begins with a dash becomes a list.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := manName(cmd)
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"CommServer %s\" \"CommServer\"\n", quoted(strings.ToUpper(name)), roff(readBuild().Version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", roff(name), roff(cmd.Short))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, ".B %s\n.I command\n", roff(cmd.CommandPath()))
	} else {
		b.WriteString(roff(cmd.UseLine()) + "\n")
	}
	if cmd.Long != "" {
		b.WriteString(".SH DESCRIPTION\n" + paragraphs(cmd.Long))
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	manFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(&b, "GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n.nf\n" + roff(examplesOf(cmd)) + "\n.fi\n")
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, row := range exitCodes() {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", row.Code, roff(row.Meaning))
	}
	manSeeAlso(&b, cmd)
	return b.String()
}

// examplesOf is a command's examples without the indent that help gives them.
func examplesOf(cmd *cobra.Command) string {
	return strings.ReplaceAll("\n"+cmd.Example, "\n  ", "\n")[1:]
}

func manFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	b.WriteString(".SH " + title + "\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n.BR " + quoted("--"+f.Name))
		if f.Shorthand != "" {
			b.WriteString(" \", \" " + quoted("-"+f.Shorthand))
		}
		if kind != "" {
			b.WriteString(" \" \" " + quoted(kind))
		}
		b.WriteString("\n" + roff(usage) + "\n")
	})
}

func manSeeAlso(b *strings.Builder, cmd *cobra.Command) {
	var also []string
	if cmd.HasParent() {
		also = append(also, manName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			also = append(also, manName(sub))
		}
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, name := range also {
		end := ","
		if i == len(also)-1 {
			end = ""
		}
		fmt.Fprintf(b, ".BR %s (1)%s\n", roff(name), end)
	}
}

// paragraphs is text in which an empty line ends a paragraph. Lines that are set apart, such as those of a list, stay as they are.
func paragraphs(text string) string {
	var b strings.Builder
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(p, "  ") || strings.Contains(p, "\n  ") {
			b.WriteString(".nf\n" + roff(p) + "\n.fi\n")
			continue
		}
		b.WriteString(roff(p) + "\n")
	}
	return b.String()
}

// roff escapes text: a backslash and a dash have a meaning in it, as a point and a quote have at the beginning of a line, and only ASCII is read everywhere.
func roff(text string) string {
	var ascii strings.Builder
	for _, r := range strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text) {
		if r < 0x80 {
			ascii.WriteRune(r)
		} else {
			fmt.Fprintf(&ascii, `\[u%04X]`, r)
		}
	}
	lines := strings.Split(ascii.String(), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// quoted is text as one argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"` }

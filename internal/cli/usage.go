package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// misuse makes a wrong use of every mistake in the words after a command, and says what is right.
func misuse(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := strayValue(cmd, args); err != nil {
				return err
			}
			if err := check(cmd, args); err != nil {
				return wrongWords(cmd, args, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		misuse(sub)
	}
}

// wrongWords says how a command is used, or which one may have been meant.
func wrongWords(cmd *cobra.Command, args []string, err error) error {
	switch {
	case !cmd.HasAvailableSubCommands():
		got := "nothing behind it"
		if len(args) > 0 {
			got = strings.Trim(fmt.Sprintf("%q", args), "[]")
		}
		return usagef("`%s` got %s; it is used as: %s", cmd.CommandPath(), got, cmd.UseLine())
	case len(args) == 0:
		return usageError{err}
	}
	near := ""
	cmd.SuggestionsMinimumDistance = max(1, len(args[0])/3) // letters that may differ
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		slices.Sort(names)
		near = "; did you mean " + strings.Join(names, " or ") + "?"
	}
	return usagef("unknown command %q for `%s`%s (`%s --help` lists them)", args[0], cmd.CommandPath(), near, cmd.CommandPath())
}

// helpOf refuses to help with a command that there is not.
func helpOf(help *cobra.Command, args []string) error {
	cmd, rest, err := help.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = wrongWords(cmd, rest, nil)
	}
	return err
}

// strayValue finds the value of a flag that takes one behind = only, written as a word of its
// own: it would be taken for something else, and the flag for its opposite.
func strayValue(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.NoOptDefVal == "" || f.Value.String() != f.NoOptDefVal {
			return
		}
		for _, word := range args {
			if valueOf(f, word) && err == nil {
				err = usagef("write --%s=%s: a value of --%s stands behind =", f.Name, word, f.Name)
			}
		}
	})
	return err
}

// valueOf says that the word can only be meant as the flag's value.
func valueOf(f *pflag.Flag, word string) bool {
	switch f.Value.Type() {
	case "bool":
		return word == "true" || word == "false"
	case "duration":
		_, err := time.ParseDuration(word)
		return err == nil
	}
	return false
}

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// bindYes gives a destructive command the flag that answers its question.
func bindYes(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolP("yes", "y", false, "do not ask")
	return cmd
}

// confirm asks before something that cannot be undone: on a terminal by a question,
// elsewhere it wants --yes.
func (r *remote) confirm(what string) error {
	if flagged(r.cmd, "yes") {
		return nil
	}
	return r.s.confirm(what)
}

func (s Streams) confirm(what string) error {
	t := s.terminal()
	if !t.In || !t.Err {
		return usagef("%s: nobody can be asked here; give --yes if it is meant", what)
	}
	answer, err := s.ask(what + "? [y/N] ")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// ask reads one line.
func (s Streams) ask(question string) (string, error) {
	fmt.Fprint(s.Err, question)
	line, err := bufio.NewReader(io.LimitReader(s.In, secretLimit)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// askSecret reads one line without showing it.
func (s Streams) askSecret(question string) (string, error) {
	f, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s.ask(question)
	}
	fmt.Fprint(s.Err, question)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(s.Err)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

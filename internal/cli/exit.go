package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/commserver/commserver/client"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitMissing     = 3
	exitRefused     = 4
	exitDenied      = 5
	exitUnavailable = 6
	exitBadEnd      = 7
	exitWaiting     = 8
)

// exitCode is one row of the table of exit codes.
type exitCode struct {
	Code    int
	Meaning string
}

// exitCodes is every exit code there is; help and documentation show it.
func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "Done."},
		{exitFailed, "Failed on this machine, or a promise did not hold."},
		{exitUsage, "Wrong use: the command line, the environment or the profile has to change."},
		{exitMissing, "Not found: the server has nothing of this name."},
		{exitRefused, "Refused by the server: the request has to change."},
		{exitDenied, "Unauthenticated, or the key lacks the scope."},
		{exitUnavailable, "Unreachable, busy or over the rate: the same command may work later."},
		{exitBadEnd, "It was done and ended badly: the message waited for ended FAILED, SUPPRESSED or CANCELLED, or a check said no."},
		{exitWaiting, "--wait ended before the message did; it is still under way."},
	}
}

// codedError carries the exit code of an end that is no error of the server's.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// usageError is a mistake in the words of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitOf is the exit code of an error.
func exitOf(err error) int {
	if err == nil {
		return exitOK
	}
	if coded, ok := errors.AsType[codedError](err); ok {
		return coded.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return exitOfStatus(refused.Status)
	}
	if unreachable(err) {
		return exitUnavailable
	}
	return exitFailed
}

func exitOfStatus(status int) int {
	switch {
	case status == http.StatusNotFound:
		return exitMissing
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return exitDenied
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return exitUnavailable
	}
	return exitRefused
}

// unreachable says that the call itself failed, not what it asked for.
func unreachable(err error) bool {
	_, ok := errors.AsType[*callError](err)
	return ok
}

// callError is a call that brought no answer, or no whole one.
type callError struct {
	url   string
	err   error
	broke bool // in the middle of the answer
}

func (e *callError) Error() string {
	switch {
	case errors.Is(e.err, context.DeadlineExceeded):
		return fmt.Sprintf("%s did not answer in time: %v", e.url, e.err)
	case e.broke:
		return fmt.Sprintf("the answer of %s broke off and is not whole: %v", e.url, e.err)
	}
	return fmt.Sprintf("%s cannot be reached: %v", e.url, e.err)
}

func (e *callError) Unwrap() error { return e.err }

// report says on standard error what went wrong and how to mend it.
func report(w io.Writer, err error) {
	fmt.Fprintln(w, "commserver:", clean(message(err)))
	refused, ok := errors.AsType[*client.Error](err)
	if !ok {
		if e, ok := errors.AsType[*callError](err); ok && !e.broke {
			fmt.Fprintln(w, "  Is it running, and is the address right? See `commserver profile list` and COMMS_URL.")
		}
		return
	}
	for _, path := range sortedNames(refused.Fields) {
		fmt.Fprintf(w, "  %s: %s\n", clean(path), clean(refused.Fields[path]))
	}
	if missing, ok := refused.Details["missing"].([]any); ok {
		names := make([]string, len(missing))
		for i, name := range missing {
			names[i] = clean(fmt.Sprint(name))
		}
		fmt.Fprintln(w, "  missing:", strings.Join(names, ", "))
	}
	if refused.RetryAfter > 0 {
		fmt.Fprintf(w, "  Try again in %s.\n", refused.RetryAfter)
	}
	var tail []string
	if refused.Code != "" {
		tail = append(tail, "code "+clean(refused.Code))
	}
	tail = append(tail, fmt.Sprintf("status %d", refused.Status))
	if refused.RequestID != "" {
		tail = append(tail, "request "+clean(refused.RequestID))
	}
	fmt.Fprintf(w, "  (%s)\n", strings.Join(tail, ", "))
}

// message is the sentence of an error: the server's own where it has one, with what the command adds before it.
func message(err error) string {
	refused, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), refused.Error(), refused.Message)
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// outputHelp says what every command promises about its output.
const outputHelp = `Results go to standard output, everything else to standard error. Tables are for people: cut to the width of a terminal, in colour
only there and not with NO_COLOR, times local or with --utc. --json prints what the API answered, on one line; a list as one
document per line (NDJSON), which arrives page by page. --quiet prints ids only, and of a command that makes a key the key. Progress is shown on a terminal only.`

// exitHelp is the table of exit codes for the help.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, row := range exitCodes() {
		fmt.Fprintf(&b, "  %d  %s\n", row.Code, row.Meaning)
	}
	return strings.TrimRight(b.String(), "\n")
}

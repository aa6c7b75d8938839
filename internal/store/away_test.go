package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// state is an error of a database server.
type state string

func (s state) Error() string    { return "the server says " + string(s) }
func (s state) SQLState() string { return string(s) }

// unsent is an error of a connection that was closed before anything was sent.
type unsent bool

func (unsent) Error() string       { return "conn closed" }
func (u unsent) SafeToRetry() bool { return bool(u) }

func TestAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"connection refused":      {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		"connection cut":          {io.ErrUnexpectedEOF, true},
		"connection ended":        {io.EOF, true},
		"too slow":                {context.DeadlineExceeded, true},
		"answer to a commit lost": {ErrUncertain, true},
		"shutting down":           {state("57P01"), true},
		"too many connections":    {state("53300"), true},
		"connection failure":      {state("08006"), true},
		"closed already":          {unsent(true), true},
		"sent, and failed":        {unsent(false), false},
		"a statement is wrong":    {state("42601"), false},
		"a statement cancelled":   {state("57014"), false},
		"a lock is not available": {state("55P03"), false},
		"the caller went":         {context.Canceled, false},
		"anything else":           {errors.New("a bug"), false},
		"ours":                    {comm.E("not_found"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Away(fmt.Errorf("read a message: %w", c.err)); got != c.want {
				t.Errorf("%v: %v", c.err, got)
			}
		})
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no memory for a statement":   {&RolledBack{state("53200")}, true},
		"as if it were shutting down": {&RolledBack{state("57P01")}, true},
		"no room in the file":         {comm.E("unavailable").Because(&RolledBack{errors.New("full")}), true},
		"answer to a commit lost":     {ErrUncertain, true},
		"a value that does not fit":   {&RolledBack{state("22001")}, false},
		"refused when connecting":     {state("53300"), false},
		"connection refused":          {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false},
		"the file was replaced":       {comm.E("unavailable").Because(errors.New("replaced")), false},
		"nothing":                     {nil, false},
	} {
		if got := Doubtful(c.err); got != c.want {
			t.Errorf("doubtful: %s: %v", name, got)
		}
	}
	if Away(nil) {
		t.Error("nothing is wrong, and the database away")
	}
}

package dispatch

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// optOuts is an app's list that counts how often it is asked.
type optOuts struct {
	list  []string
	err   error
	asked int
}

func (o *optOuts) SuppressedOf(_ context.Context, _ comm.ID, _ comm.Channel, addresses []string) (out []string, err error) {
	o.asked++
	for _, a := range addresses {
		if slices.Contains(o.list, a) {
			out = append(out, a)
		}
	}
	return out, o.err
}

// TestCopiesAreAskedAboutAtOnce: one question for all copies of a mail, however many, and in the form that the list keeps.
func TestCopiesAreAskedAboutAtOnce(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	for name, c := range map[string]struct {
		cc, bcc, list   []string
		err             error
		wantCC, wantBCC []string
		left, asked     int
		answered        bool
	}{
		"no copies":   {asked: 0, answered: true},
		"none listed": {cc: []string{"a@x.org"}, bcc: []string{"b@x.org"}, list: []string{"c@x.org"}, wantCC: []string{"a@x.org"}, wantBCC: []string{"b@x.org"}, asked: 1, answered: true},
		"some": {cc: []string{"A@X.org", "b@x.org"}, bcc: []string{"c@x.org", "d@x.org", "b@X.ORG"}, list: []string{"a@x.org", "b@x.org", "c@x.org"},
			wantCC: []string{}, wantBCC: []string{"d@x.org"}, left: 4, asked: 1, answered: true},
		"no answer":  {cc: []string{"a@x.org"}, err: away, wantCC: []string{"a@x.org"}, asked: 1},
		"no address": {cc: []string{"nobody"}, wantCC: []string{"nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &optOuts{list: c.list, err: c.err}
			d := &Dispatcher{cfg: Config{Suppressions: o}}
			content := &comm.Content{CC: c.cc, BCC: c.bcc}
			left, err := d.leaveOut(t.Context(), comm.ID{1}, content)
			if left != c.left || (err == nil) != c.answered || o.asked != c.asked || !slices.Equal(content.CC, c.wantCC) || !slices.Equal(content.BCC, c.wantBCC) {
				t.Errorf("%d left out, %v, asked %d times: %q %q", left, err, o.asked, content.CC, content.BCC)
			}
		})
	}
}

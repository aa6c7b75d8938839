package smtp

import (
	"errors"
	"testing"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// TestASessionOutOfStepIsNotUsedAgain: a reply that is no refusal and no answer to what was
// asked belongs to something else. The next message has a session of its own.
func TestASessionOutOfStepIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		class  provider.Class
	}{
		"250 to DATA":    {opened + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\n<end>", provider.Transient},
		"354 to the dot": {opened + group + "S: 250 ok\nS: 250 ok\nS: 354 go\n<mail>\nS: 354 more\n<end>", provider.Ambiguous},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, nil, tc.script, opened+taken+bye)
			s := newSender(t, server.Dial)
			_, err := s.Send(t.Context(), greet(t))
			if e, _ := errors.AsType[*provider.Error](err); e == nil || e.Class != tc.class {
				t.Errorf("%v", err)
			}
			if _, err := s.Send(t.Context(), greet(t)); err != nil {
				t.Error(err)
			}
			if server.Conns() != 2 {
				t.Errorf("%d connections", server.Conns())
			}
		})
	}
}

// TestNoCommandsAsContent: a server that refuses the sender's parameter and asks for the
// content all the same hears nothing more, and the refusal stands.
func TestNoCommandsAsContent(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250-SIZE 0\nS: 250 PIPELINING\n"+
		"C~ MAIL FROM:<no-reply@shop.test> SIZE=\nC: RCPT TO:<ama@example.com>\nC: DATA\nS: 501 5.5.4 no such parameter\nS: 250 ok\nS: 354 go\n<end>")
	s := newSender(t, server.Dial)
	_, err := s.Send(t.Context(), greet(t))
	if e, _ := errors.AsType[*provider.Error](err); e == nil || e.Class == provider.Ambiguous || e.Code == "connection_lost" {
		t.Errorf("%v", err)
	}
	if server.Conns() != 1 {
		t.Errorf("%d connections", server.Conns())
	}
}

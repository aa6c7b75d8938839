package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // CRAM-MD5 (RFC 2195) is what some old relays offer; it is the last choice under TLS.
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
)

var errNoMechanism = errors.New("the server offers none of PLAIN, LOGIN and CRAM-MD5")

// login authenticates. Without encryption it does so only towards this very host.
func (s *Sender) login(ctx context.Context, ses *session) *fault {
	if !ses.encrypted && !loopback(ses.conn) {
		return &fault{phase: startTLS, err: errNoTLS}
	}
	if err := ses.within(ctx, s.patience(ctx)); err != nil {
		return &fault{phase: authentication, err: err}
	}
	mechanisms := []string{"PLAIN", "LOGIN", "CRAM-MD5"}
	if !ses.encrypted {
		mechanisms = []string{"CRAM-MD5", "PLAIN", "LOGIN"}
	}
	for _, m := range mechanisms {
		if !slices.Contains(ses.ext.auth, m) {
			continue
		}
		r, err := s.authenticate(ses, m)
		if err != nil || r.code != 235 {
			return newFault(authentication, r, err)
		}
		return nil
	}
	return &fault{phase: authentication, err: errNoMechanism}
}

func loopback(conn net.Conn) bool {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// authenticate speaks one mechanism and answers the server's last reply.
func (s *Sender) authenticate(ses *session, mechanism string) (reply, error) {
	user, password := s.config.username, s.config.password
	switch mechanism {
	case "PLAIN": // RFC 4616
		return ses.ask("AUTH PLAIN ", encode64("\x00"+user+"\x00"+password))
	case "LOGIN": // two prompts, whose wording means nothing
		r, err := ses.ask("AUTH LOGIN")
		for _, answer := range []string{user, password} {
			if err != nil || r.code != 334 {
				return r, err
			}
			r, err = ses.ask(encode64(answer))
		}
		return r, err
	default: // CRAM-MD5, RFC 2195
		r, err := ses.ask("AUTH CRAM-MD5")
		if err != nil || r.code != 334 {
			return r, err
		}
		challenge, err := base64.StdEncoding.DecodeString(r.text)
		if err != nil {
			return reply{}, fmt.Errorf("%w: the challenge is not base64", errProtocol)
		}
		mac := hmac.New(md5.New, []byte(password))
		mac.Write(challenge)
		return ses.ask(encode64(user + " " + hex.EncodeToString(mac.Sum(nil))))
	}
}

func encode64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

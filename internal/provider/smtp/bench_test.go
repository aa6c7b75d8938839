package smtp

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/wneessen/go-mail"
)

const benchSenders = 16

func benchHTML() string {
	return "<p>Dear Ama,</p><p>" + strings.Repeat("your request was approved. ", 12) + "</p>"
}

// BenchmarkSender sends through one Sender from 16 goroutines to a sink. Beside
// it stands the bare loop of the mail library, with the same mail and sink.
func BenchmarkSender(b *testing.B) {
	for name, ext := range map[string][]string{"pipelining": {"PIPELINING", "SIZE 30000000"}, "plain": nil} {
		b.Run(name, func(b *testing.B) {
			sink := providertest.NewSink(b, nil, ext...)
			s := newSender(b, sink.Dial())
			spread(b, func(n int) error {
				m := greet(b)
				m.Content.Body = benchHTML()
				for range n {
					sent := *m // its content is dropped on the way
					if _, err := s.Send(b.Context(), &sent); err != nil {
						return err
					}
				}
				return nil
			})
			if got := sink.Mails.Load(); got < int64(b.N) {
				b.Fatalf("%d of %d mails arrived", got, b.N)
			}
			b.ReportMetric(float64(sink.Conns.Load()), "connections")
		})
	}
}

// BenchmarkBareLoop is the yardstick: go-mail 0.8.1, a session per goroutine, a message built each time.
func BenchmarkBareLoop(b *testing.B) {
	sink := providertest.NewSink(b, nil, "PIPELINING", "SIZE 30000000")
	host, port, _ := net.SplitHostPort(sink.Addr)
	number, _ := strconv.Atoi(port)
	spread(b, func(n int) error {
		c, err := mail.NewClient(host, mail.WithPort(number), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("client.test"), mail.WithoutNoop())
		if err != nil {
			return err
		}
		if err := c.DialWithContext(b.Context()); err != nil {
			return err
		}
		for range n {
			m := mail.NewMsg()
			if err := m.From("Shop <no-reply@shop.test>"); err != nil {
				return err
			}
			if err := m.To("ama@example.com"); err != nil {
				return err
			}
			m.Subject("Hi")
			m.SetBodyString(mail.TypeTextPlain, "Dear Ama, "+strings.Repeat("your request was approved. ", 12))
			m.AddAlternativeString(mail.TypeTextHTML, benchHTML())
			if err := c.Send(m); err != nil {
				return err
			}
		}
		return c.Close()
	})
	if got := sink.Mails.Load(); got < int64(b.N) {
		b.Fatalf("%d of %d mails arrived", got, b.N)
	}
}

// spread divides b.N over the senders.
func spread(b *testing.B, run func(n int) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range benchSenders {
		all.Go(func() {
			if err := run((b.N + i) / benchSenders); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}

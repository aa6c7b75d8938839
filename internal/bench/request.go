package bench

import (
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/bench/baseline"
	"github.com/commserver/commserver/internal/bench/load"
)

// What is sent: a short message of the usual size, bodySize bytes of JSON.
const (
	mailSubject = "Your code"
	mailText    = "Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456. " +
		"Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456. Your code is 123456."
	bodySize = 470
)

// dialect is how one side wants to be asked.
type dialect struct {
	path string
	// heads are the header lines of each app, ending with a line break.
	heads []string
	// before, after and key are the parts of the body around what changes.
	members [4]string
}

// productDialect is the API; the baseline speaks it too.
func productDialect(apps, keys []string) dialect {
	d := dialect{path: "/api/v1/messages", members: [4]string{`{"channel":"EMAIL","to":"user`, `@example.org","from":"App <no-reply@example.com>","subject":"` + mailSubject + `","body":"`,
		`","idempotencyKey":"`, `"`}}
	for i := range apps {
		d.heads = append(d.heads, "X-App-ID: "+apps[i]+"\r\nX-API-Key: "+keys[i]+"\r\n")
	}
	return d
}

func (w *world) dialect() dialect {
	var apps, keys []string
	for _, t := range w.apps {
		apps, keys = append(apps, t.app.Slug), append(keys, t.key)
	}
	return productDialect(apps, keys)
}

func baselineDialect() dialect {
	var apps, keys []string
	for i := range baseline.Apps {
		app, key := baseline.App(i)
		apps, keys = append(apps, app), append(keys, key)
	}
	return productDialect(apps, keys)
}

// besideDialect is what another bare server speaks: bearer keys key-0 to key-99 and members of its own.
func besideDialect(path string) dialect {
	d := dialect{path: path, members: [4]string{`{"channel":"email","to":"user`, `@example.org","from":"App <no-reply@example.com>","subject":"` + mailSubject + `","text":"`,
		`","idempotency_key":"`, `"`}}
	for i := range tenants {
		d.heads = append(d.heads, "Authorization: Bearer key-"+strconv.Itoa(i)+"\r\n")
	}
	return d
}

// target makes requests whose idempotency keys no other target uses. Bodies have the same size on every side.
func (d dialect) target(addr string) load.Target {
	run := strings.ToLower(rand.Text()[:10])
	return load.Target{Addr: addr, Request: func(b []byte, n uint64) []byte {
		b = append(append(append(b, "POST "...), d.path...), " HTTP/1.1\r\nHost: "...)
		b = append(append(b, addr...), "\r\n"...)
		b = append(b, d.heads[n%uint64(len(d.heads))]...)
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, bodySize, 10)
		b = append(b, "\r\n\r\n"...)
		start := len(b)
		b = append(b, d.members[0]...)
		b = appendNumber(b, n)
		b = append(b, d.members[1]...)
		tail := len(d.members[2]) + len(run) + 1 + numberWidth + len(d.members[3]) + len(`,"metadata":{"order":"","lang":"en"}}`) + numberWidth
		text := bodySize - (len(b) - start) - tail
		b = append(b, mailText[:min(text, len(mailText))]...)
		for range text - len(mailText) {
			b = append(b, '.')
		}
		b = append(append(b, d.members[2]...), run...)
		b = appendNumber(append(b, '-'), n)
		b = append(append(b, d.members[3]...), `,"metadata":{"order":"`...)
		b = appendNumber(b, n)
		return append(b, `","lang":"en"}}`...)
	}}
}

const numberWidth = 9

// appendNumber writes a number with leading zeros, so that every request has one size.
func appendNumber(b []byte, n uint64) []byte {
	var d [numberWidth]byte
	for i := numberWidth - 1; i >= 0; i-- {
		d[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, d[:]...)
}

// address is the host:port of a base URL.
func address(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}

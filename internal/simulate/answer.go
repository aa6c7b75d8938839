package simulate

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Sizes and times of faulty answers.
const (
	hugeSize   = 16 << 20
	slowTime   = 10 * time.Second
	dripTime   = time.Second
	htmlPage   = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n"
	dateAhead  = 5 * time.Second
	absurdTime = "99999999999999999999"
)

// deliver writes the answer of something that was taken, as ordered. It says
// whether the client cannot have read it.
func (x *exchange) deliver(a answer, r Rule) (lost bool) {
	switch r.Fault {
	case Lose:
		x.cut()
		return true
	case Hang:
		x.wait(time.Duration(r.Delay))
		x.cut()
		return true
	case Slow:
		return !sleep(x.r.Context(), orElse(r.Delay, slowTime)) || x.write(a)
	case Drip:
		return x.drip(a, orElse(r.Delay, dripTime))
	case Malformed:
		return x.malformed(a, r.Form)
	}
	return x.write(a)
}

// write sends an answer whole.
func (x *exchange) write(a answer) (lost bool) {
	x.head(a)
	_, err := x.w.Write(a.body)
	return err != nil || x.r.Context().Err() != nil
}

func (x *exchange) head(a answer) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	for name, value := range a.header {
		h.Set(name, value)
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	x.w.WriteHeader(a.status)
}

func (x *exchange) drip(a answer, pause time.Duration) (lost bool) {
	x.head(a)
	control := http.NewResponseController(x.w)
	for i := range a.body {
		if i > 0 && !sleep(x.r.Context(), pause) {
			return true
		}
		if _, err := x.w.Write(a.body[i : i+1]); err != nil || control.Flush() != nil {
			return true
		}
	}
	return false
}

func (x *exchange) malformed(a answer, form string) (lost bool) {
	switch form {
	case "empty":
		a.body = nil
	case "html":
		a.kind, a.body = "text/html", []byte(htmlPage)
	case "unexpected":
		a.body = []byte(`{"ok":true,"result":[1,2,3],"note":"this is no answer that the documentation knows"}`)
	case "huge":
		return x.huge(a)
	default:
		a.body = a.body[:len(a.body)/2]
		a.body = append(bytes.Clone(a.body), `{"`...)
	}
	return x.write(a)
}

// huge sends an answer that never comes to its point.
func (x *exchange) huge(a answer) (lost bool) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(a.status)
	piece := bytes.Repeat([]byte{' '}, 64<<10)
	for range hugeSize / len(piece) {
		if _, err := x.w.Write(piece); err != nil {
			return true
		}
	}
	_, err := x.w.Write(a.body)
	return err != nil
}

// throttled is a 429 with the time that was ordered.
func (x *exchange) throttled(r Rule) answer {
	name := map[string]string{"RESEND": "rate_limit_exceeded", "ARKESEL": "429", "HUBTEL": "429", "MNOTIFY": "429", "TWILIO": "20429"}[x.kind]
	a := answer{status: http.StatusTooManyRequests, kind: "text/plain", body: []byte("Too many requests")} // NALO documents none
	if name != "" {
		a = x.tongue.problem(must(x.kind, name), "")
	}
	value := r.RetryAfter
	switch value {
	case "":
		value = "1"
		if r.Above > 0 {
			_, end := r.window(x.at)
			value = strconv.Itoa(int(math.Ceil(end.Sub(x.at).Seconds())))
		}
	case "date":
		value = x.at.Add(dateAhead).UTC().Format(http.TimeFormat)
	case "past":
		value = x.at.Add(-time.Hour).UTC().Format(http.TimeFormat)
	case "absurd":
		value = absurdTime
	case "garbage":
		value = "soon"
	case "none":
		return a
	}
	a.header = map[string]string{"Retry-After": value}
	if x.kind == "RESEND" {
		a.header["Ratelimit-Limit"], a.header["Ratelimit-Remaining"], a.header["Ratelimit-Reset"] = "2", "0", value
	}
	return a
}

// unavailable is a 5xx, in the provider's form where it has one.
func (x *exchange) unavailable(r Rule) answer {
	status := r.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	switch r.Form {
	case "empty":
		return answer{status: status, kind: "text/plain"}
	case "html":
		return answer{status: status, kind: "text/html", body: []byte(htmlPage)}
	}
	failure := Refusal{Type: x.kind, Status: status, Text: http.StatusText(status)}
	switch {
	case x.kind == "RESEND" && status == http.StatusServiceUnavailable:
		failure.Code = "service_unavailable"
	case x.kind == "RESEND":
		failure.Code = "internal_server_error"
	case x.kind == "TWILIO":
		failure.Code = "20500"
	case x.kind == "NALO":
		return answer{status: status, kind: "text/html", body: []byte(htmlPage)}
	}
	return x.tongue.problem(failure, "")
}

// wait lasts until the client is gone, the server stops or most is over; 0: no end.
func (x *exchange) wait(most time.Duration) {
	if most <= 0 {
		<-x.r.Context().Done()
		return
	}
	sleep(x.r.Context(), most)
}

// cut resets the connection.
func (x *exchange) cut() {
	c, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if l, ok := c.(*link); ok {
		l.reset()
		return
	}
	_ = c.Close()
}

// orElse is a rule's time, or what is usual.
func orElse(given Span, usual time.Duration) time.Duration {
	if given > 0 {
		return time.Duration(given)
	}
	return usual
}

// sleep waits; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

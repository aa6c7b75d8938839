package intake

import (
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// checkCost applies what the administrator allows a live app's SMS to cost: the numbers it
// may write to, and the caps that the store counts in.
func checkCost(app *comm.App, p *prepared) error {
	if p.sub.Channel != comm.SMS {
		return nil
	}
	caps, refused := app.CapsFor(p.sub.Recipient)
	if refused || !allowedNumber(app.SMSPrefixes, p.sub.Recipient) {
		return comm.E("number_not_allowed").Field("to", "begins with none of the allowed digits, or with some that are not allowed")
	}
	p.sub.Caps, p.sub.Segments = caps, p.segments
	return nil
}

func allowedNumber(prefixes []string, number string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(number, prefix) {
			return true
		}
	}
	return len(prefixes) == 0
}

// checkDay refuses what is over a cap by what was counted when the app was read.
func checkDay(app *comm.App, p *prepared, now comm.Micros) error {
	over, use, exceeded := app.SMSDays.Over(p.sub.Caps, int64(p.sub.Segments), now.Day())
	if !exceeded {
		return nil
	}
	return quotaExceeded(p, over, use, now)
}

// quotaExceeded is the answer over a cap of the day.
func quotaExceeded(p *prepared, over comm.SMSCap, use comm.SMSUse, now comm.Micros) error {
	to := ""
	if over.Prefix != "" {
		to = " to numbers that begin with " + over.Prefix
	}
	e := comm.E("quota_exceeded", "The app may send %d SMS segments a day%s, %d are used and this message takes %d; the next day begins at 00:00 UTC.", over.PerDay, to, use.Used, p.sub.Segments).
		With("smsPerDay", over.PerDay).With("smsToday", use.Used).With("segments", p.sub.Segments)
	if over.Prefix != "" {
		e = e.With("prefix", over.Prefix)
	}
	e.RetryAfter = max(1, int(now.NextDay().Sub(now)/time.Second))
	return e
}

package intake

import (
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// checkCost applies what the administrator allows a live app's SMS to cost: the numbers it
// may write to, and the cap that the store counts in.
func checkCost(app *comm.App, p *prepared) error {
	if p.sub.Channel != comm.SMS {
		return nil
	}
	if !allowedNumber(app.SMSPrefixes, p.sub.Recipient) {
		return comm.E("number_not_allowed").Field("to", "begins with none of the allowed digits")
	}
	p.sub.SMSPerDay, p.sub.Segments = app.SMSPerDay, p.segments
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

// quotaExceeded is the answer over the cap of the day.
func quotaExceeded(p *prepared, use comm.SMSUse, now comm.Micros) error {
	e := comm.E("quota_exceeded", "The app may send %d SMS segments a day, %d are used and this message takes %d; the next day begins at 00:00 UTC.", p.sub.SMSPerDay, use.Used, p.sub.Segments).
		With("smsPerDay", p.sub.SMSPerDay).With("smsToday", use.Used).With("segments", p.sub.Segments)
	e.RetryAfter = max(1, int(now.NextDay().Sub(now)/time.Second))
	return e
}

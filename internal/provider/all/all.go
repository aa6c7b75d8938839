// Package all is the list of adapters that this binary contains: the one place
// where a new one is registered. It promises a fixed order and unique types; it
// holds no state. The sandbox is not on it, because no configuration chooses it.
package all

import (
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/arkesel"
	"github.com/commserver/commserver/internal/provider/hubtel"
	"github.com/commserver/commserver/internal/provider/mnotify"
	"github.com/commserver/commserver/internal/provider/nalo"
	"github.com/commserver/commserver/internal/provider/resend"
	"github.com/commserver/commserver/internal/provider/smtp"
	"github.com/commserver/commserver/internal/provider/twilio"
)

// Adapters lists every adapter, in the order in which people see them: the
// guide's, then the others.
func Adapters() []provider.Adapter {
	return []provider.Adapter{
		resend.Adapter(),
		smtp.Adapter(),
		arkesel.Adapter(),
		hubtel.Adapter(),
		nalo.Adapter(),
		mnotify.Adapter(),
		twilio.Adapter(),
	}
}

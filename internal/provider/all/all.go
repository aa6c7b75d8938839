// Package all is the list of adapters that this binary contains: the one place
// where a new one is registered. It promises a fixed order and unique types; it
// holds no state. The sandbox is not on it, because no configuration chooses it.
package all

import (
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/smtp"
)

// Adapters lists every adapter, in the order in which people see them.
func Adapters() []provider.Adapter {
	return []provider.Adapter{
		smtp.Adapter(),
	}
}

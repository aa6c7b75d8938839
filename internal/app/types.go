package app

import (
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
)

// ProviderTypes lists the types of provider that this binary knows, with the
// fields of each, in the order in which people see them.
func ProviderTypes() []provider.Adapter { return all.Adapters() }

package registry

import (
	"context"
	"slices"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Supposed is a change to provider configurations that nobody has made, to see what would come of it. Zero ids change nothing.
type Supposed struct {
	Without comm.ID // as if it were deleted
	Off     comm.ID // as if it were switched off
}

// LiveChain is what a live message of a channel would be sent with, as far as settings tell.
type LiveChain struct {
	Channel comm.Channel
	chain.Chain
}

// LiveChains answers what live messages of an app take, for each channel, also while the app is in the sandbox. A nil app is any that has no
// configuration of its own. not_found where a configuration that is supposed about is neither the app's nor the server's.
func (s *Service) LiveChains(ctx context.Context, app *comm.App, suppose Supposed) ([]LiveChain, error) {
	live := &comm.App{}
	if app != nil {
		live = new(*app)
		live.Sandbox = false
	}
	all, err := s.ChainConfigs(ctx, live.ID)
	if err != nil {
		return nil, err
	}
	if all, err = suppose.in(all); err != nil {
		return nil, err
	}
	input := chain.Input{App: live, Mode: comm.Live, Fallback: s.cfg.Fallback, CannotSend: provider.CannotSend(s.cfg.Adapters)}
	for _, c := range all {
		if c.App.IsZero() {
			input.Server = append(input.Server, c)
		} else {
			input.Own = append(input.Own, c)
		}
	}
	var out []LiveChain
	for _, ch := range comm.Channels() {
		input.Channel = ch
		out = append(out, LiveChain{ch, chain.Pick(input)})
	}
	return out, nil
}

// in makes the change to the configurations, which are the caller's.
func (x Supposed) in(all []comm.ProviderConfig) ([]comm.ProviderConfig, error) {
	for _, id := range []comm.ID{x.Without, x.Off} {
		at := slices.IndexFunc(all, func(c comm.ProviderConfig) bool { return c.ID == id })
		switch {
		case id.IsZero():
		case at < 0:
			return nil, comm.E("not_found", "There is no such provider configuration in this chain.")
		case id == x.Without:
			all = slices.Delete(all, at, at+1)
		default:
			all[at].Active = false
		}
	}
	return all, nil
}

// Package chain says which provider configurations a message may take, in
// which order and why, and in which words a waiting message explains itself.
//
// Everything is pure: the same input gives the same chain, so that the preview
// in the API and the dispatcher cannot differ. It knows no clock, keeps no
// health of providers (the dispatcher does, and passes it in) and calls nobody.
package chain

import (
	"cmp"
	"slices"

	"github.com/commserver/commserver/internal/comm"
)

// Sandbox is the provider name of the logger, which takes every message that
// is not sent for real. Its configuration id is zero.
const Sandbox = "sandbox"

// Fallback is what a live app without any provider does (COMMS_LIVE_FALLBACK).
type Fallback uint8

// The fallbacks. The zero value is the default.
const (
	FallbackSandbox Fallback = iota // the logger takes it, with warnings
	FallbackFail                    // FAILED no_provider
)

// Condition is whether a configuration can take a call now. The zero value: it can.
type Condition struct {
	Reason string      // a word of WaitReasons; "" = it can
	Until  comm.Micros // 0 = until somebody acts or a call ends
	// Brief waits are worth waiting for: the next configuration is for refusals
	// and outages, not for a full second or a busy session.
	Brief bool
}

// Known is what is known of a configuration's health, by the node that calls it or by what nodes have told.
type Known struct {
	Broken    string      // why there is nothing to call; "" where there is
	Throttled comm.Micros // until when its provider asked for no call; 0: it did not, or that has passed
	Down      bool        // its breaker lets no call through, until DownUntil: 0 where that is not known
	DownUntil comm.Micros
	Spent     comm.Micros // until when what its day allows is used up; 0: it is not
}

// Condition is what that makes of it: the first of these things counts.
func (k Known) Condition() Condition {
	switch {
	case k.Broken != "":
		return Condition{Reason: k.Broken}
	case k.Throttled != 0:
		return Condition{Reason: WaitThrottled, Until: k.Throttled}
	case k.Down:
		return Condition{Reason: WaitDown, Until: k.DownUntil}
	case k.Spent != 0:
		return Condition{Reason: WaitRate, Until: k.Spent}
	}
	return Condition{}
}

// Input is all that the order depends on.
type Input struct {
	App     *comm.App
	Mode    comm.Mode // of the message; 0 = the app's
	Channel comm.Channel
	// Own are the app's configurations, Server the server-level ones, in any order and of any channel.
	Own, Server []comm.ProviderConfig
	Fallback    Fallback
	// CannotSend says of a configuration's type that this program keeps it and
	// cannot send with it; nil means that there is no such type.
	CannotSend func(kind string) bool
	// Condition is the present health; nil means that everything can take a call.
	Condition func(*comm.ProviderConfig) Condition
	// Tried says which configurations this round has called already; nil means none.
	Tried func(comm.ID) bool
}

// Candidate is a configuration in its place, with the reason for the place.
type Candidate struct {
	Config *comm.ProviderConfig
	Why    string
	Wait   Condition // Brief, or zero
}

// Exclusion is a configuration that the chain leaves out now.
type Exclusion struct {
	Config *comm.ProviderConfig
	Why    string
	Wait   Condition // set when it will come back by itself or by an operator's act
}

// Chain is the answer.
type Chain struct {
	Logger     bool        // the sandbox logger takes the message
	NoProvider bool        // nothing to send with, and the operator wants that to fail
	Own        bool        // the app's own configurations apply, not the server-level ones
	Why        string      // the sentence for the whole chain
	Candidates []Candidate // first is tried first
	Excluded   []Exclusion
	// Wait is the first hindrance to end when no candidate is left but some
	// exclusion will come back: the message waits. Zero otherwise.
	Wait Condition
}

// First is the configuration that is called first: the head of the candidates, or where none is left the one whose hindrance ends first, an update
// of this program included. It is nil where the sandbox takes the message, nothing is configured or everything is switched off.
func (out *Chain) First() *comm.ProviderConfig {
	if len(out.Candidates) > 0 {
		return out.Candidates[0].Config
	}
	for _, e := range out.Excluded {
		if e.Wait == out.Wait && e.Wait.Reason != "" && e.Wait.Reason != WaitOff {
			return e.Config
		}
	}
	return nil
}

// Warning is what a live app should know of the chain of a channel, if anything:
// that nothing is really sent by it now.
func (out *Chain) Warning(ch comm.Channel) (w comm.Warning, ok bool) {
	nothing := "The app is live but has no provider for " + ch.String() + ", and neither has the server: "
	switch {
	case out.Wait.Reason == WaitOff:
		return comm.Warning{Code: out.Wait.Reason, Text: "Every provider configuration for " + ch.String() + " is switched off: such messages wait until one is switched on or added."}, true
	case out.Wait.Reason == WaitCannotSend:
		return comm.Warning{Code: out.Wait.Reason, Text: "This version cannot send with any of the provider configurations for " + ch.String() + ": such messages wait until one is added that it can send with, or the server is updated."}, true
	case out.NoProvider:
		return comm.Warning{Code: comm.WarnNoProvider, Text: nothing + "such messages will fail."}, true
	case out.Logger:
		return comm.Warning{Code: comm.WarnNoProvider, Text: nothing + "the sandbox takes such messages, nothing is really sent."}, true
	}
	return w, false
}

// The sentences of Why.
const (
	whySandboxApp     = "the app is in sandbox mode"
	whySandboxMessage = "the message was accepted in sandbox mode"
	whyFallback       = "the live app has no provider for this channel; the sandbox takes it"
	whyNoProvider     = "the live app has no provider for this channel"
	whyOwn            = "the app's own providers"
	whyServer         = "the server's providers, because the app has none for this channel"
	whyPinned         = "pinned by the operator"
	whyFirst          = "first by priority"
	whyNext           = "next by priority"
	whyTried          = "called in this round already"
	whyInactive       = "switched off"
	whyCannotSend     = "this version cannot send with any of the providers for this channel"
	whyLogger         = "not called: the sandbox takes the message"
	whyOff            = "every provider for this channel is switched off"
)

// Pick puts the configurations in order. The app's own active configurations of
// the channel make the chain, else the server-level ones; pinned ones come
// first, then lower priority, then age. The fallback is for a channel that
// nothing is configured for: where all configurations are switched off, messages
// wait, so that an operator's switch turns no real mail into a capture. An active
// configuration of a type that this program cannot send with is part of the chain
// and left out of it: next to others nothing waits for it, and where there are only
// such ones messages wait. They open neither the server-level chain nor the
// fallback, since whoever configured an account meant that one.
func Pick(in Input) Chain {
	mode := in.Mode
	switch {
	case mode == comm.Sandbox:
		return Chain{Logger: true, Why: whySandboxMessage}
	case in.App.Sandbox:
		return Chain{Logger: true, Why: whySandboxApp}
	}
	out := Chain{Own: true, Why: whyOwn}
	list := Order(in.Own, in.Channel)
	if len(list) == 0 {
		out.Own, out.Why = false, whyServer
		list = Order(in.Server, in.Channel)
	}
	if len(list) == 0 {
		if off := append(inactive(in.Own, in.Channel), inactive(in.Server, in.Channel)...); len(off) > 0 {
			out.Own, out.Why, out.Excluded = off[0].Config.App == in.App.ID, whyOff, off
			out.Wait = earliest(off)
			return out
		}
		out.Why, out.Logger = whyFallback, true
		if in.Fallback == FallbackFail {
			out.Why, out.Logger, out.NoProvider = whyNoProvider, false, true
		}
		return out
	}
	list, unable := in.able(list)
	out.Candidates = make([]Candidate, 0, len(list))
	for _, c := range list {
		out.place(c, in)
	}
	out.leaveOut(unable, len(list) == 0)
	if len(out.Candidates) == 0 {
		out.Wait = earliest(out.Excluded)
	}
	return out
}

// able parts the configurations that this program can send with from the others.
func (in *Input) able(list []*comm.ProviderConfig) (able, unable []*comm.ProviderConfig) {
	if in.CannotSend == nil {
		return list, nil
	}
	for _, c := range list {
		if in.CannotSend(c.Type) {
			unable = append(unable, c)
		} else {
			able = append(able, c)
		}
	}
	return able, unable
}

// leaveOut excludes what this program cannot send with. Messages wait for it only where it is alone.
func (out *Chain) leaveOut(unable []*comm.ProviderConfig, alone bool) {
	var wait Condition
	if alone && len(unable) > 0 {
		wait.Reason, out.Why = WaitCannotSend, whyCannotSend
	}
	for _, c := range unable {
		out.Excluded = append(out.Excluded, Exclusion{Config: c, Why: WaitText(WaitCannotSend), Wait: wait})
	}
}

func (out *Chain) place(c *comm.ProviderConfig, in Input) {
	if in.Tried != nil && in.Tried(c.ID) {
		out.Excluded = append(out.Excluded, Exclusion{Config: c, Why: whyTried})
		return
	}
	var now Condition
	if in.Condition != nil {
		now = in.Condition(c)
	}
	if now.Reason != "" && !now.Brief {
		out.Excluded = append(out.Excluded, Exclusion{Config: c, Why: WaitText(now.Reason), Wait: now})
		return
	}
	why := whyNext
	switch {
	case c.Limits.Pinned:
		why = whyPinned
	case len(out.Candidates) == 0 && len(out.Excluded) == 0:
		why = whyFirst
	}
	out.Candidates = append(out.Candidates, Candidate{Config: c, Why: why, Wait: now})
}

// LeftOut lists every configuration of the channel among own that the chain, which
// Pick made of the same input, does not try, and why; for people who ask.
func (out *Chain) LeftOut(own []comm.ProviderConfig, ch comm.Channel) (all []Exclusion) {
	all = slices.Clone(out.Excluded)
	for i := range own {
		c := &own[i]
		named := func(id comm.ID) bool { return id == c.ID }
		switch {
		case c.Channel != ch, slices.ContainsFunc(out.Candidates, func(x Candidate) bool { return named(x.Config.ID) }),
			slices.ContainsFunc(out.Excluded, func(x Exclusion) bool { return named(x.Config.ID) }):
		case !c.Active:
			all = append(all, Exclusion{Config: c, Why: whyInactive, Wait: Condition{Reason: WaitOff}})
		default:
			all = append(all, Exclusion{Config: c, Why: whyLogger})
		}
	}
	return all
}

// earliest is the hindrance that ends first. A known end is earlier than an open one.
func earliest(all []Exclusion) (first Condition) {
	for _, e := range all {
		switch w := e.Wait; {
		case w.Reason == "":
		case first.Reason == "", w.Until != 0 && (first.Until == 0 || w.Until < first.Until):
			first = w
		}
	}
	return first
}

// Order answers the active configurations of a channel as the chain tries them.
func Order(configs []comm.ProviderConfig, ch comm.Channel) []*comm.ProviderConfig {
	var out []*comm.ProviderConfig
	for i := range configs {
		if c := &configs[i]; c.Active && c.Channel == ch {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, Compare)
	return out
}

// Compare is the order of a chain: pinned ones first, then lower priority, then age, then id.
func Compare(a, b *comm.ProviderConfig) int {
	if a.Limits.Pinned != b.Limits.Pinned {
		if a.Limits.Pinned {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.CreatedAt, b.CreatedAt), a.ID.Compare(b.ID))
}

// inactive lists what Order leaves out for a channel because it is switched off.
func inactive(configs []comm.ProviderConfig, ch comm.Channel) (out []Exclusion) {
	for i := range configs {
		if c := &configs[i]; !c.Active && c.Channel == ch {
			out = append(out, Exclusion{Config: c, Why: whyInactive, Wait: Condition{Reason: WaitOff}})
		}
	}
	return out
}

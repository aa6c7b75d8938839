package console

import (
	"slices"

	"github.com/commserver/commserver/client"
)

// liveChains is what live messages take, of an app or, for "", of apps that have no provider of their own. What decides stands in the API alone.
func (v *visit) liveChains(app string, suppose client.Supposed) ([]client.LiveChain, error) {
	a, err := v.admin()
	if err != nil {
		return nil, err
	}
	return a.LiveChains(v.ctx(), app, suppose)
}

// channelName is a channel inside a sentence.
func channelName(channel string) string {
	if channel == client.SMS {
		return "SMS"
	}
	return "email"
}

// endOf is what becomes of live messages that nothing sends, after who they are; "" where something does.
func endOf(c *client.LiveChain) string {
	switch {
	case c.Sandbox:
		return "are captured by the sandbox: marked sent, they reach nobody"
	case c.NoProvider:
		return "fail"
	case c.WaitingFor != "":
		return "wait until a provider for them is added or switched on"
	}
	return ""
}

// lost says that live messages are not kept either: they end, and reach nobody.
func lost(c *client.LiveChain) bool { return c.Sandbox || c.NoProvider }

// afterwards says where the messages of a configuration go once it is deleted or switched off. What is typed first then is the subject's.
func (v *visit) afterwards(x *providerAt, suppose client.Supposed) (outlook, error) {
	chains, err := v.liveChains(x.slug(), suppose)
	if err != nil {
		return outlook{}, err
	}
	at := slices.IndexFunc(chains, func(c client.LiveChain) bool { return c.Channel == x.P.Channel })
	if at < 0 {
		return outlook{Points: []string{"This version cannot tell where messages go then."}, Typed: true}, nil
	}
	c, what := &chains[at], channelName(x.P.Channel)
	end, whose := endOf(c), "live apps without a provider of their own"
	if x.App != nil {
		whose = x.App.Name
	}
	switch {
	case end == "" && !x.P.IsActive:
		return outlook{Points: []string{"It is off already: no message goes by it."}}, nil
	case end == "" && (x.App == nil || c.Level == "APP"):
		return outlook{Points: []string{"Messages go to the next one of the chain."}}, nil
	case end == "":
		return outlook{Points: []string{x.App.Name + " has no other provider for " + what + " that is on: the server's chain takes over, with the senders that the server and the app's settings allow."}}, nil
	case x.App != nil && x.App.SandboxMode:
		return outlook{Points: []string{x.App.Name + " is in the sandbox, where nothing is sent. Nothing else sends " + what + " of it once it is live: its messages " + end + "."}}, nil
	}
	none := "Nothing else sends " + what + " of " + whose + ": "
	if x.App == nil {
		return outlook{Points: []string{none + "what waits of them and all messages that come " + end + "."}, Typed: lost(c)}, nil
	}
	t, err := v.backlogOf(x.App, x.P.Channel)
	if err != nil {
		return outlook{}, err
	}
	return outlook{Points: []string{none + waitingAnd(t) + " " + end + "."}, Typed: lost(c)}, nil
}

// waitingAnd is what waits, and what comes.
func waitingAnd(t client.QueueTotals) string {
	switch {
	case t.Waiting == 0:
		return "all messages that come"
	case t.AtLeast:
		return "more than " + plural(t.Waiting, "message that waits", "messages that wait") + " and all that come"
	}
	return plural(t.Waiting, "message that waits", "messages that wait") + " and all that come"
}

package sms

import (
	"strings"
	"testing"
)

func TestKeywordOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Keyword{
		"STOP": Stop, "stop": Stop, " Stop. ": Stop, "STOP!!": Stop, "stop all": Stop, "StopAll": Stop, "unsubscribe": Stop, "Cancel": Stop, "end": Stop, "QUIT\n": Stop,
		"revoke": Stop, "optout": Stop, "opt-out": Stop, "REMOVE": Stop, "arret": Stop, "start": Start, "YES": Start, "unstop": Start, "Subscribe": Start, "help": Help, "INFO?": None, "info": Help,
		"": None, "please stop": None, "stop it": None, "stopp": None, "no": None, "STOP 2": None, "ѕtop": None, "...": None, strings.Repeat("stop ", 1000): None,
	} {
		if got := KeywordOf(text); got != want {
			t.Errorf("%.20q: %d, want %d", text, got, want)
		}
	}
}

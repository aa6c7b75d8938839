package sms

import "strings"

// Keyword is what an answer of one word asks for.
type Keyword uint8

// The keywords. None is every other text.
const (
	None  Keyword = iota
	Stop          // no more messages
	Start         // messages again
	Help
)

// KeywordOf reads an answer to a short message. It counts only if the whole of it is a
// keyword, in any case, with space around it and punctuation behind it: "please stop
// shouting" is for a person to read. The words are those that carriers and the large
// providers share; OPT-OUT and STOP ALL may be written apart.
func KeywordOf(text string) Keyword {
	text = strings.TrimRight(strings.TrimSpace(text), ".!,;: \t\r\n")
	if len(text) > longestKeyword {
		return None
	}
	switch strings.ToUpper(text) {
	case "STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "OPT-OUT", "OPT OUT", "REMOVE", "ARRET":
		return Stop
	case "START", "YES", "UNSTOP", "SUBSCRIBE":
		return Start
	case "HELP", "INFO":
		return Help
	}
	return None
}

// longestKeyword bounds what is compared, in bytes.
const longestKeyword = 16

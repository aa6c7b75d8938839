package loose

// Words in which providers explain refusals without a code, in lower case. Tables look for them
// where a status or a word of the provider's has already said that it is a refusal.

// Failed are the words of a server that failed rather than refused: what it did before, nobody knows.
func Failed() []string {
	return []string{"went wrong", "internal", "server error", "try again", "timeout", "timed out", "unexpected"}
}

// TooLong are those of a text beyond a length; they stand before those of a limit, which they may hold.
func TooLong() []string {
	return []string{"too long", "character", "message length", "length of"}
}

// Limited are those of a limit of the account's, such as "you have exceeded the number of messages of today":
// a number in it is no recipient's.
func Limited() []string {
	return []string{"exceed", "limit", "quota", "too many"}
}

// Unpaid are those of an account without money.
func Unpaid() []string { return []string{"balance", "credit", "insufficient"} }

// BadNumber are those that call the recipient's number wrong, and no other thing about it.
func BadNumber() []string {
	return []string{"invalid number", "invalid phone", "invalid recipient", "invalid msisdn", "invalid destination", "number is invalid", "number is not valid",
		"recipient is invalid", "recipient is not valid", "not a valid number", "not a valid phone", "not a valid recipient", "not a valid msisdn"}
}

// Package measure takes one sample for an analysis: it asks a server with Prometheus' HTTP API
// for one number, or sends one HTTP request and looks at the answer.
//
// What goes in: an Analysis as a Model has it, the [Variables] that are filled into its query or
// URL, and the data of the Secret that it names. What comes out: a sample with the number as the
// server said it, in decimals, or with an error whose one sentence names the address and says
// what to do. What it never does: judge the number, try again, keep anything of an answer, or put
// a credential into a sentence.
//
// # Filling in
//
// ${name} stands for a variable, $${ for the text ${. A value stays a value, whatever is in it:
// inside the quotes of a PromQL string it is escaped, after =~ and !~ it only matches itself,
// and outside of quotes it has to be a plain name. In the path and the query of a URL it is
// escaped, and in the host it has to be part of a name. (The regular expression of label_replace
// is a string like others: what is filled in there is a part of the expression.)
//
// # Where requests go
//
// Addresses come from Git, and the agent is in a place in the network where those who write them
// are not. So it is the address that a name leads to that counts, at the moment of connecting:
// loopback, link-local addresses, the metadata services of clouds and what is no address of one
// machine are never connected to, also where an IPv6 address holds one of them. A redirect
// is followed on the same server only. Proxies of the environment are not used: one would do the
// connecting in our place and check nothing, and it would see every token.
//
// # Limits
//
// A sample takes ten seconds at most, the context may say less. An answer is read up to 1 MiB,
// its headers up to 64 KiB. A server has at most four connections of ours at once, which are
// kept for the next sample; further samples wait for their turn within their ten seconds.
package measure

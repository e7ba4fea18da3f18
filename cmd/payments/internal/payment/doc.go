// Package payment is the domain of the payments service: a payment for each lot that was sold.
//
// [Payments] is the entity, with the lot's id as its own. A payment is made once, by [Charge], and
// never changes. Whoever does not know whether a charge was made sends it again: with its key it gets
// the first answer as it was stored, and also without one, or a year later, it is told what was charged and nothing
// is charged again. A charge that says something else is rejected.
package payment

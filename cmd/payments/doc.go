// Payments is Skerry's second sample service, a neighbour of auction's: it charges the winner of a lot, once.
//
//	payments                   serve
//	payments -h                every setting
//	auction -payments URL      an auction house that has its winners charged here
//
// A charge goes to the payment that has the lot's id, over HTTP/JSON, gRPC or Connect:
//
//	curl --json '{"bidder":"ann","amountCents":5000}' -H 'Idempotency-Key: lamp-1' http://127.0.0.1:8070/v1/entities/payment/lamp/Charge
//	curl http://127.0.0.1:8070/v1/entities/payment/lamp/GetPayment
//
// internal/payment is the entity; start.go makes a service of it. Logs are lines of JSON on standard error.
package main

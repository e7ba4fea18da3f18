package cassandra

import "encoding/binary"

// Routing keys: what Cassandra hashes to find the replicas of a partition. We
// build them ourselves, since the driver would encode each value a second time, and
// forgets how after an outage.

func shardKey(shard uint32) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(shard))
}

// compositeKey joins the columns of a partition key: length, bytes and a zero each.
func compositeKey(columns ...[]byte) []byte {
	size := 0
	for _, c := range columns {
		size += len(c) + 3
	}
	key := make([]byte, 0, size)
	for _, c := range columns {
		key = binary.BigEndian.AppendUint16(key, uint16(len(c)))
		key = append(key, c...)
		key = append(key, 0)
	}
	return key
}

func bigint(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func bucketKey(shard uint32, bucket uint64) []byte {
	return compositeKey(shardKey(shard), bigint(int64(bucket)))
}

func hourKey(shard uint32, hour int64) []byte {
	return compositeKey(shardKey(shard), bigint(hour))
}

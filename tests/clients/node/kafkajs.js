// kafkajs: a client in JavaScript alone. It speaks for itself: gzip is its only codec, snappy comes as a package, the others are left to
// whoever uses it; headers and values are bytes; it has no cooperative groups and no KIP-848.
'use strict'

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, KafkaJSNotImplemented, logLevel } = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const PATIENCE_MS = 30_000
// A consumer that leaves waits for its fetch: 5 s by default.
const maxWaitTimeInMs = 200
const client = 'kafkajs'
const { version } = require('kafkajs/package.json')
if (process.argv.length !== 3) {
  console.error('usage: kafkajs.js BOOTSTRAP')
  process.exit(2)
}
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 8 } })
const admin = kafka.admin()

const unique = (name) => `kafkajs-${name}-${randomUUID().slice(0, 13)}`
const words = (count, word = 'v') => Array.from({ length: count }, (_, n) => `${word}${n}`)
const text = (bytes) => (bytes === null ? null : bytes.toString())

async function show(fact, work) {
  const began = Date.now()
  const say = (result, detail) =>
    console.log(JSON.stringify({ client, version, fact, result, detail: detail.slice(0, 500), seconds: (Date.now() - began) / 1000 }))
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${PATIENCE_MS} ms`)), PATIENCE_MS)
  })
  try {
    say('passed', (await Promise.race([work(), late])) || '')
  } catch (error) {
    say(error instanceof KafkaJSNotImplemented ? 'refused' : 'failed', `${error.name}: ${error.message}`)
  } finally {
    clearTimeout(timer)
  }
}

async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS
  while (Date.now() < end) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`no ${what} within ${PATIENCE_MS} ms`)
}

async function topic(name, numPartitions = 1, configEntries = []) {
  const made = unique(name)
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: made, numPartitions, replicationFactor: 1, configEntries }] })
  // Kafka names a leader a moment before it has taken its place.
  await until(() => admin.fetchTopicOffsets(made).then(() => true, () => false), `leaders of ${made}`)
  return made
}

async function produce(made, messages, options = {}, { compression, acks = -1 } = {}) {
  const producer = kafka.producer({ allowAutoTopicCreation: false, ...options })
  await producer.connect()
  try {
    await producer.send({ topic: made, acks, compression, messages: messages.map((message) => ({ partition: 0, ...message })) })
  } finally {
    await producer.disconnect()
  }
}

// Runs a member of a group until `enough` of what it has read, and hands back its records.
async function consume(made, groupId, enough, { readUncommitted = false, commitTo = null } = {}) {
  const consumer = kafka.consumer({ groupId, readUncommitted, maxWaitTimeInMs })
  const records = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [made], fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => void records.push(message) })
    await until(() => records.length >= enough, `${enough} records of ${made}`)
    if (commitTo !== null) await consumer.commitOffsets([{ topic: made, partition: 0, offset: String(commitTo) }])
  } finally {
    await consumer.disconnect()
  }
  return records
}

const values = (records) => records.map((record) => text(record.value))
const read = (made, count, options) => consume(made, unique('alone'), count, options)

async function keysAndHeaders() {
  const made = await topic('headers')
  const headers = { origin: ['node', 'again'], none: 'x' }
  await produce(made, [{ key: Buffer.from([0xff, 0]), value: 'bytes', headers }, { key: 'k', value: null }])
  const [first, second] = await read(made, 2)
  assert.deepEqual([first.key, text(first.value), first.headers.origin.map(text)], [Buffer.from([0xff, 0]), 'bytes', ['node', 'again']])
  assert.deepEqual([text(second.key), second.value], ['k', null])
}

async function compresses(compression) {
  const made = await topic('compresses')
  await produce(made, words(100).map((value) => ({ value })), {}, { compression })
  assert.deepEqual(values(await read(made, 100)), words(100))
}

async function resumes() {
  const [made, group] = [await topic('resumes'), unique('group')]
  await produce(made, words(10).map((value) => ({ value })))
  await consume(made, group, 4, { commitTo: 4 })
  assert.equal((await consume(made, group, 1))[0].offset, '4')
  const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [made] })
  assert.equal(partitions[0].offset, '4')
}

async function shares() {
  const [made, groupId] = [await topic('shares', 4), unique('group')]
  const members = []
  const owned = [0, 0]
  for (const at of [0, 1]) {
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500, maxWaitTimeInMs })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      owned[at] = (payload.memberAssignment[made] || []).length
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [made] })
    await consumer.run({ eachMessage: async () => {} })
    members.push(consumer)
  }
  await until(() => owned[0] === 2 && owned[1] === 2, 'even sharing of 4 partitions')
  await members[0].disconnect()
  await until(() => owned[1] === 4, 'take-over of 4 partitions')
  await members[1].disconnect()
}

async function idempotent() {
  const made = await topic('idempotent')
  await produce(made, words(200).map((value) => ({ value })), { idempotent: true, maxInFlightRequests: 1 })
  assert.deepEqual(values(await read(made, 200)), words(200))
}

async function transactional(transactionalId) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, transactionTimeout: 20_000 })
  await producer.connect()
  return producer
}

async function transactions() {
  const made = await topic('transactions')
  const producer = await transactional(made)
  for (const [word, ends] of [['a', 'commit'], ['aborted', 'abort'], ['b', 'commit']]) {
    const transaction = await producer.transaction()
    await transaction.send({ topic: made, messages: words(5, word).map((value) => ({ value, partition: 0 })) })
    await transaction[ends]()
  }
  await producer.disconnect()
  assert.deepEqual(values(await read(made, 10)), [...words(5, 'a'), ...words(5, 'b')])
  assert.equal((await read(made, 15, { readUncommitted: true })).length, 15)
}

async function offsetsInATransaction() {
  const [source, sink, group] = [await topic('source'), await topic('sink'), unique('group')]
  await produce(source, words(6).map((value) => ({ value })))
  const producer = await transactional(sink)
  for (const [ends, committed] of [['abort', '-1'], ['commit', '6']]) {
    const records = await read(source, 6)
    const transaction = await producer.transaction()
    await transaction.send({ topic: sink, messages: records.map(({ value }) => ({ value, partition: 0 })) })
    await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: source, partitions: [{ partition: 0, offset: '6' }] }] })
    await transaction[ends]()
    await until(async () => {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [source] })
      return partitions[0].offset === committed
    }, `committed offset ${committed}`)
  }
  await producer.disconnect()
  assert.deepEqual(values(await read(sink, 6)), words(6))
}

async function fences() {
  const made = await topic('fences')
  const old = await transactional(made)
  const begun = await old.transaction()
  await begun.send({ topic: made, messages: [{ value: 'v', partition: 0 }] })
  const young = await transactional(made)
  const newer = await young.transaction()
  await assert.rejects(begun.commit())
  await newer.abort()
  await young.disconnect()
  await old.disconnect()
}

async function byTime() {
  const made = await topic('time')
  await produce(made, words(10).map((value, n) => ({ value, timestamp: String(1_700_000_000_000 + n * 1000) })))
  const at = async (ms) => (await admin.fetchTopicOffsetsByTimestamp(made, 1_700_000_000_000 + ms))[0].offset
  // Where no record is as young, kafkajs gives the end of the partition.
  assert.deepEqual([await at(0), await at(3500), await at(99_000)], ['0', '4', '10'])
}

async function describesTheCluster() {
  const cluster = await admin.describeCluster()
  assert.equal(cluster.brokers.length, 1)
  assert.ok(cluster.clusterId)
}

async function configs() {
  const made = await topic('configs', 1, [{ name: 'retention.ms', value: '86400000' }])
  const resource = { type: ConfigResourceTypes.TOPIC, name: made }
  const settings = async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
    const value = (name) => resources[0].configEntries.find((entry) => entry.configName === name).configValue
    return [value('retention.ms'), value('cleanup.policy')]
  }
  assert.deepEqual(await settings(), ['86400000', 'delete'])
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
  await until(async () => (await settings())[0] === '3600000', 'changed setting')
  const wrong = { resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: 'soon' }] }] }
  await assert.rejects(admin.alterConfigs(wrong), { type: 'INVALID_CONFIG' })
}

async function addsPartitions() {
  const made = await topic('grows')
  await admin.createPartitions({ topicPartitions: [{ topic: made, count: 3 }] })
  await until(async () => (await admin.fetchTopicMetadata({ topics: [made] })).topics[0].partitions.length === 3, 'three partitions')
}

async function groups() {
  const [made, groupId] = [await topic('groups'), unique('group')]
  await produce(made, [{ value: 'v' }])
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs })
  await consumer.connect()
  await consumer.subscribe({ topics: [made], fromBeginning: true })
  let seen = 0
  await consumer.run({ eachMessage: async () => void (seen += 1) })
  await until(() => seen === 1, 'record')
  assert.ok((await admin.listGroups()).groups.some((group) => group.groupId === groupId))
  const [described] = (await admin.describeGroups([groupId])).groups
  assert.deepEqual([described.state, described.members.length], ['Stable', 1])
  await consumer.disconnect()
  await admin.deleteGroups([groupId])
}

async function deletesRecords() {
  const made = await topic('records')
  await produce(made, words(10).map((value) => ({ value })))
  // It does not ask for a topic's leaders here: it knows them because `topic` has asked.
  await admin.deleteTopicRecords({ topic: made, partitions: [{ partition: 0, offset: '7' }] })
  const [{ low, high }] = await admin.fetchTopicOffsets(made)
  assert.deepEqual([low, high], ['7', '10'])
}

async function deletesATopic() {
  const made = await topic('gone')
  await admin.deleteTopics({ topics: [made] })
  await until(async () => !(await admin.listTopics()).includes(made), 'end of the topic')
}

async function main() {
  await admin.connect()
  await show('creates-a-topic', async () => void (await topic('creates')))
  await show('keys-and-headers', keysAndHeaders)
  await show('compresses-gzip', () => compresses(CompressionTypes.GZIP))
  await show('compresses-snappy', () => compresses(CompressionTypes.Snappy))
  await show('compresses-lz4', () => compresses(CompressionTypes.LZ4))
  await show('compresses-zstd', () => compresses(CompressionTypes.ZSTD))
  await show('resumes-where-it-committed', resumes)
  await show('shares-a-group', shares)
  await show('produces-idempotently', idempotent)
  await show('commits-and-aborts', transactions)
  await show('offsets-in-a-transaction', offsetsInATransaction)
  await show('fences-the-older-producer', fences)
  await show('offsets-by-time', byTime)
  await show('describes-the-cluster', describesTheCluster)
  await show('configs', configs)
  await show('adds-partitions', addsPartitions)
  await show('groups', groups)
  await show('deletes-records', deletesRecords)
  await show('deletes-a-topic', deletesATopic)
  await admin.disconnect()
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)

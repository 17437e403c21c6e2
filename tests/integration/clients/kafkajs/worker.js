// The client worker of kafkajs. The other workers' package `worker` says what the options and the lines mean.
'use strict'

const fs = require('fs')
const { setTimeout: sleep } = require('timers/promises')
const { parseArgs } = require('util')
const { Kafka, Partitioners, logLevel } = require('kafkajs')

const FLUSH_INTERVAL_MS = 100
const TICK_MS = 10
const VALUE_SIZE = 100
// No more than this much of the rate is made up for after a pause.
const DEBT_MAX_MS = 1000
// Of one send, and so of one batch.
const RECORDS_MAX = 1000

function usage(text) {
  console.error(text)
  process.exit(2)
}

function parseOptions() {
  const text = name => [name, { type: 'string' }]
  const names = 'bootstrap topic out partitions rate acks idempotent retries id group isolation'.split(' ')
  const { values, positionals } = parseArgs({
    options: { ...Object.fromEntries(names.map(text)), 'from-beginning': { type: 'boolean' } },
    allowPositionals: true,
  })
  const verb = positionals[0]
  if (verb !== 'produce' && verb !== 'consume') usage('usage: worker produce|consume --bootstrap HOST:PORT[,..] ...')
  const options = { partitions: 1, rate: 100, acks: 'all', id: 'worker', ...values, verb }
  for (const name of ['bootstrap', 'topic', 'out', ...(verb === 'consume' ? ['group'] : [])]) {
    if (!options[name]) usage(`--${name} is needed`)
  }
  options.acks = { all: -1, 1: 1, 0: 0 }[options.acks]
  if (options.acks === undefined) usage('--acks is all, 1 or 0')
  options.idempotent = options.idempotent === 'true'
  options.partitions = Number(options.partitions)
  options.rate = Number(options.rate)
  return options
}

class Report {
  constructor(path) {
    this.file = fs.openSync(path, 'a')
    this.lines = []
    setInterval(() => this.flush(), FLUSH_INTERVAL_MS).unref()
  }

  flush() {
    const text = this.lines.join('')
    this.lines = []
    if (text) fs.writeFileSync(this.file, text)
  }

  acked(partition, n, offset) {
    this.lines.push(`A ${partition} ${n} ${offset}\n`)
  }

  failed(partition, n, text) {
    this.lines.push(`F ${partition} ${n} ${text.replace(/\s+/g, ' ')}\n`)
  }

  error(text) {
    this.lines.push(`E ${text.replace(/\s+/g, ' ')}\n`)
  }

  consumed(partition, offset, value) {
    this.lines.push(`C ${partition} ${offset} ${value.toString().split('|', 1)[0]}\n`)
  }
}

function client(options) {
  return new Kafka({
    clientId: `kafkajs-${options.verb}`,
    brokers: options.bootstrap.split(','),
    logLevel: logLevel.WARN,
    logCreator: () => entry => console.error(JSON.stringify(entry)),
  })
}

// Sends one batch of one partition and tells its fate.
//
// A send names one partition only. When a partition of a larger send fails, the library sends all partitions of that
// broker again (written twice without idempotence), and a partition whose leader moves to a broker that has already
// answered the same send is silently dropped from it.
async function sendBatch(producer, options, report, partition, batch) {
  const { id, topic, acks } = options
  const value = n => `${id}:${partition}:${n}|`.padEnd(VALUE_SIZE)
  try {
    const answers = await producer.send({ topic, acks, messages: batch.map(n => ({ partition, value: value(n) })) })
    if (acks === 0) return batch.forEach(n => report.acked(partition, n, -1))
    const answer = answers.find(answer => answer.partition === partition)
    if (!answer) throw new Error('the send succeeded without an answer for the partition')
    const base = Number(answer.baseOffset)
    batch.forEach((n, i) => report.acked(partition, n, base < 0 ? -1 : base + i))
  } catch (error) {
    batch.forEach(n => report.failed(partition, n, `${error.name}: ${error.message}`))
  }
}

// The records that are due, by partition.
class Pace {
  constructor({ partitions, rate }) {
    this.rate = rate
    this.queues = Array.from({ length: partitions }, () => [])
    this.due = 0
    this.made = 0
    this.last = performance.now()
  }

  refill() {
    const now = performance.now()
    this.due += (Math.min(now - this.last, DEBT_MAX_MS) * this.rate) / 1000
    this.last = now
    const { queues } = this
    for (; this.made < this.due; this.made++) {
      queues[this.made % queues.length].push(Math.floor(this.made / queues.length))
    }
  }
}

async function produce(options, report) {
  const producer = client(options).producer({
    idempotent: options.idempotent,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.DefaultPartitioner,
    ...(options.retries === undefined ? {} : { retry: { retries: Number(options.retries) } }),
  })
  await producer.connect()
  console.log('READY')

  const pace = new Pace(options)
  let stopping = false
  // One send at a time: when a connection closes, the library fails the other sends that wait for the same broker.
  const sending = (async () => {
    for (let rest = true; rest || !stopping; ) {
      if (!stopping) {
        await sleep(TICK_MS)
        pace.refill()
      }
      for (const [partition, queue] of pace.queues.entries()) {
        if (queue.length) await sendBatch(producer, options, report, partition, queue.splice(0, RECORDS_MAX))
      }
      rest = pace.queues.some(queue => queue.length)
    }
  })()

  return async () => {
    stopping = true
    await sending
    await producer.disconnect()
  }
}

async function consume(options, report) {
  const consumer = client(options).consumer({
    groupId: options.group,
    ...(options.isolation === 'read_committed' ? { readUncommitted: false } : {}),
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => report.error(`${payload.error.name}: ${payload.error.message}`))
  const removeListener = consumer.on(consumer.events.GROUP_JOIN, () => {
    console.log('READY')
    removeListener()
  })
  await consumer.connect()
  await consumer.subscribe({ topic: options.topic, fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 1000,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
      for (const message of batch.messages) {
        if (!isRunning() || isStale()) break
        report.consumed(batch.partition, message.offset, message.value)
        resolveOffset(message.offset)
      }
      await commitOffsetsIfNecessary()
      await heartbeat()
    },
    eachBatchAutoResolve: false, // the loop may end early
  })
  return () => consumer.disconnect()
}

// Resolves at SIGTERM, SIGINT or the end of a piped standard input; a second signal ends a worker that hangs.
function stopRequested() {
  return new Promise(resolve => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
    const input = fs.fstatSync(0)
    if (input.isFIFO() || input.isSocket()) process.stdin.on('end', resolve).resume()
  })
}

async function main() {
  const options = parseOptions()
  const report = new Report(options.out)
  try {
    const stop = stopRequested()
    const finish = await (options.verb === 'produce' ? produce : consume)(options, report)
    await stop
    await finish()
  } catch (error) {
    report.error(`${error.name}: ${error.message}`)
    console.error(error)
    process.exitCode = 1
  }
  report.flush()
  process.exit()
}

main()

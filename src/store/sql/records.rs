//! Records as both databases read and write them. What differs stands behind [`Connection`].

use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::{COLUMNS, failed, order, owner, record, signed, unsigned};
use crate::lifecycle::{IssuerName, Timestamp};
use crate::store::record::{BatchId, Kind, Query, Record, RecordIndex, RecordKey, Token};
use crate::store::{ClientCount, CommitError, Content, Expectation, StoreError, Write};

/// A value that a statement binds.
pub(in crate::store) enum Value {
    Text(String),
    OptionalText(Option<String>),
    Number(i64),
    Flag(bool),
    Bytes(Vec<u8>),
    OptionalBytes(Option<Vec<u8>>),
    OptionalNumber(Option<i64>),
    /// A list of texts.
    List(Vec<String>),
}

/// The columns of a row, of either database.
pub(in crate::store) trait Columns:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<C> Columns for C where
    C: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

/// A connection that runs statements. Parameters are written `$1`.
pub(in crate::store) trait Connection: Send {
    /// The condition that a column is in the list that is bound as `parameter`.
    fn is_listed(column: &str, parameter: usize) -> String;

    /// Runs a statement, and says how many rows it has changed.
    fn execute(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<u64, CommitError>> + Send;

    /// Reads rows.
    fn rows<C: Columns>(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<C>, StoreError>> + Send;

    /// The octets of a column of text, which may have been altered and be no text any more.
    fn octets(column: &str) -> String;
}

/// Reads one number.
pub(super) async fn number(
    connection: &mut impl Connection,
    statement: &str,
    values: Vec<Value>,
) -> Result<i64, StoreError> {
    let rows = connection.rows::<(i64,)>(statement, values).await?;
    let (number,) = rows
        .first()
        .ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
    Ok(*number)
}

/// Lets a connection of sqlx run statements. They are prepared once for each connection where
/// `persistent` says so, and `list` makes of a list what the database takes as one.
macro_rules! connection {
    (
        $connection:ty, $database:ty, $arguments:ty,
        is_listed: $is_listed:expr, list: $list:expr, octets: $octets:expr,
        persistent: $persistent:expr, error: $error:expr
    ) => {
        impl $crate::store::sql::records::Connection for $connection {
            fn is_listed(column: &str, parameter: usize) -> String {
                $is_listed(column, parameter)
            }

            async fn execute(
                &mut self,
                statement: &str,
                values: Vec<$crate::store::sql::records::Value>,
            ) -> Result<u64, $crate::store::CommitError> {
                let query: sqlx::query::Query<'_, $database, $arguments> =
                    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
                let query = connection!(bind query, values, $list).persistent($persistent);
                let done = query.execute(self).await.map_err($error)?;
                Ok(done.rows_affected())
            }

            async fn rows<C: $crate::store::sql::records::Columns>(
                &mut self,
                statement: &str,
                values: Vec<$crate::store::sql::records::Value>,
            ) -> Result<Vec<C>, $crate::store::StoreError> {
                let query: sqlx::query::QueryAs<'_, $database, C, $arguments> =
                    sqlx::query_as(sqlx::AssertSqlSafe(statement.to_owned()));
                let query = connection!(bind query, values, $list).persistent($persistent);
                query.fetch_all(self).await.map_err($crate::store::sql::failed)
            }

            fn octets(column: &str) -> String {
                $octets(column)
            }
        }
    };
    (bind $query:ident, $values:ident, $list:expr) => {{
        use $crate::store::sql::records::Value;
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::OptionalText(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::OptionalBytes(bytes) => query.bind(bytes),
                Value::OptionalNumber(number) => query.bind(number),
                Value::List(list) => query.bind($list(list)),
            };
        }
        query
    }};
}
pub(in crate::store) use connection;

pub(in crate::store) async fn read<C: Connection>(
    connection: &mut C,
    query: &Query,
) -> Result<Vec<Record>, StoreError> {
    let Condition {
        mut text,
        mut values,
    } = condition::<C>(query)?;
    text.push_str(" ORDER BY ");
    text.push_str(order(query));
    if let Some(limit) = query.limit {
        values.push(Value::Number(limit.into()));
        text.push_str(&format!(" LIMIT ${}", values.len()));
    }
    let statement = format!("SELECT {COLUMNS} FROM records WHERE {text}");
    let rows = connection.rows(&statement, values).await?;
    let record = |columns| record(query.kind, columns);
    rows.into_iter().map(record).collect()
}

/// What a query asks of a record, and the values of its parameters.
struct Condition {
    text: String,
    values: Vec<Value>,
}

impl Condition {
    fn and(&mut self, condition: impl FnOnce(usize) -> String, value: Value) {
        self.values.push(value);
        let condition = condition(self.values.len());
        self.text.push_str(" AND ");
        self.text.push_str(&condition);
    }

    fn and_is_one_of<C: Connection>(&mut self, column: &str, mut list: Vec<String>) {
        // An index is used for one value, on every database.
        match (list.pop(), list.is_empty()) {
            (Some(only), true) => self.and(|at| format!("{column} = ${at}"), Value::Text(only)),
            (last, _) => {
                list.extend(last);
                self.and(|at| C::is_listed(column, at), Value::List(list));
            }
        }
    }
}

/// It has what the query says and nothing else, so that the database can tell which index serves it.
fn condition<C: Connection>(query: &Query) -> Result<Condition, StoreError> {
    let mut condition = Condition {
        text: "kind = $1".to_owned(),
        values: vec![Value::Text(query.kind.as_str().to_owned())],
    };
    if let Some(owners) = &query.owners {
        let owners = owners.iter().map(Option::as_ref).map(owner);
        condition.and_is_one_of::<C>("owner", owners.map(str::to_owned).collect());
    }
    if let Some(ids) = &query.ids {
        condition.and_is_one_of::<C>("id", ids.clone());
    }
    if let Some(subjects) = &query.subjects {
        condition.and_is_one_of::<C>("subject", subjects.clone());
    }
    if let Some(by) = query.kept_until {
        let by = Value::Number(signed(by.millis())?);
        condition.and(|at| format!("kept_until <= ${at}"), by);
    }
    if let Some(head) = &query.not_sealed_with {
        let length = head.len();
        let head = Value::Bytes(head.clone());
        condition.and(|at| format!("substr(sealed, 1, {length}) <> ${at}"), head);
    }
    if let Some(after) = &query.after {
        condition.and(|at| format!("id > ${at}"), Value::Text(after.clone()));
    }
    Ok(condition)
}

/// How many records count against each client.
pub(in crate::store) async fn count_by_client(
    connection: &mut impl Connection,
    kind: Kind,
    kept_after: Timestamp,
) -> Result<Vec<ClientCount>, StoreError> {
    let statement = "SELECT owner, client, count(*) FROM records \
                     WHERE kind = $1 AND client IS NOT NULL AND kept_until > $2 AND owner <> '' \
                     GROUP BY owner, client ORDER BY owner, client";
    let values = vec![
        Value::Text(kind.as_str().to_owned()),
        Value::Number(signed(kept_after.millis())?),
    ];
    let rows = connection.rows::<(String, String, i64)>(statement, values);
    let count = |(owner, client, records): (String, String, i64)| {
        Ok(ClientCount {
            owner: IssuerName::parse(&owner).map_err(failed)?,
            client,
            records: unsigned(records)?,
        })
    };
    rows.await?.into_iter().map(count).collect()
}

/// Whether an expectation holds; otherwise it is a conflict. Nothing may be committed meanwhile.
pub(in crate::store) async fn expect<C: Connection>(
    connection: &mut C,
    expectation: &Expectation,
) -> Result<(), CommitError> {
    let holds = match expectation {
        Expectation::Is(key, token) => {
            let stored = read(connection, &Query::one(key)).await?;
            stored.first().map(|record| record.token) == *token
        }
        Expectation::Exactly(kind, tokens) => {
            let stored = read(connection, &Query::all(*kind)).await?.into_iter();
            stored
                .map(|record| (record.key.id, record.token))
                .eq(tokens.iter().map(|(id, token)| (id.clone(), *token)))
        }
        Expectation::AtMost(query, most) => {
            let Condition { text, values } = condition::<C>(query)?;
            let statement = format!("SELECT count(*) FROM records WHERE {text}");
            let count = unsigned(number(connection, &statement, values).await?)?;
            usize::try_from(count).is_ok_and(|count| count <= *most)
        }
    };
    if holds {
        Ok(())
    } else {
        Err(CommitError::Conflict)
    }
}

/// The most records that one statement creates: both databases take as many parameters.
const MOST_CREATED_AT_A_TIME: usize = 256;

/// Makes the writes of a batch in their order, each of which finds what it expects or is refused. What it
/// expects stands in the statement itself, so that a batch without events is safe without the lock on the
/// log. Records that are created one behind the other are so in one statement: there may be a thousand.
pub(in crate::store) async fn write_all(
    connection: &mut impl Connection,
    writes: &[Write],
    batch: BatchId,
) -> Result<(), CommitError> {
    // Of other kinds there are few, and some keep the order in which they came.
    let is_of_many = |write: &Write| matches!(write, Write::Create(key, _) if key.kind.is_paged());
    let groups = writes.chunk_by(|one, next| is_of_many(one) && is_of_many(next));
    for mut group in groups {
        // Powers of two, so that there are few statements to prepare.
        while let Some(power) = group.len().checked_ilog2() {
            let (several, rest) = group.split_at((1 << power).min(MOST_CREATED_AT_A_TIME));
            group = rest;
            if let [one] = several {
                write(connection, one, batch).await?;
                continue;
            }
            let (statement, values) = create_all(several, batch)?;
            let created = connection.execute(&statement, values).await?;
            if usize::try_from(created) != Ok(several.len()) {
                return Err(CommitError::Conflict);
            }
        }
    }
    Ok(())
}

/// Makes one write.
async fn write(
    connection: &mut impl Connection,
    write: &Write,
    batch: BatchId,
) -> Result<(), CommitError> {
    let (statement, values) = match write {
        Write::Create(key, content) => create(key, content, batch)?,
        Write::Replace(key, token, content) => replace(key, *token, content, batch)?,
        Write::Delete(key, token) => delete(key, *token),
    };
    if connection.execute(statement, values).await? > 0 {
        if let Write::Delete(RecordKey { kind, id, .. }, _) = write
            && *kind == Kind::Client
        {
            let statement = "DELETE FROM last_uses WHERE client = $1";
            let values = vec![Value::Text(id.clone())];
            connection.execute(statement, values).await?;
        }
        return Ok(());
    }
    if matches!(write, Write::Create(..)) {
        return Err(CommitError::Conflict);
    }
    let statement = "SELECT count(*) FROM records \
                     WHERE kind = $1 AND owner = $2 AND id = $3 AND is_final";
    match number(connection, statement, name(write.key())).await? {
        0 => Err(CommitError::Conflict),
        _ => Err(CommitError::Final),
    }
}

fn name(key: &RecordKey) -> Vec<Value> {
    vec![
        Value::Text(key.kind.as_str().to_owned()),
        Value::Text(owner(key.owner.as_ref()).to_owned()),
        Value::Text(key.id.clone()),
    ]
}

fn bytes(token: Token) -> Value {
    Value::Bytes(token.as_bytes().to_vec())
}

fn index(index: &RecordIndex) -> Result<[Value; 3], StoreError> {
    let kept_until = index.kept_until.map(|until| signed(until.millis()));
    Ok([
        Value::OptionalText(index.subject.clone()),
        Value::OptionalText(index.client.clone()),
        Value::OptionalNumber(kept_until.transpose()?),
    ])
}

type Statement = (&'static str, Vec<Value>);

fn create(key: &RecordKey, content: &Content, batch: BatchId) -> Result<Statement, StoreError> {
    let statement = "INSERT INTO records (kind, owner, id, token, document, sealed, unique_text, \
                     is_final, subject, client, kept_until, version) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1) \
                     ON CONFLICT (kind, owner, id) DO NOTHING";
    Ok((statement, created(key, content, batch)?))
}

/// The same for several.
fn create_all(writes: &[Write], batch: BatchId) -> Result<(String, Vec<Value>), StoreError> {
    let (mut rows, mut values): (Vec<String>, Vec<Value>) = Default::default();
    for write in writes {
        if let Write::Create(key, content) = write {
            let first = values.len() + 1;
            values.extend(created(key, content, batch)?);
            let parameters = (first..=values.len()).map(|at| format!("${at}, "));
            rows.push(format!("({}1)", parameters.collect::<String>()));
        }
    }
    let statement = format!(
        "INSERT INTO records (kind, owner, id, token, document, sealed, unique_text, \
         is_final, subject, client, kept_until, version) \
         VALUES {} ON CONFLICT (kind, owner, id) DO NOTHING",
        rows.join(", ")
    );
    Ok((statement, values))
}

/// The columns of a record that is created, in the order of those statements.
fn created(key: &RecordKey, content: &Content, batch: BatchId) -> Result<Vec<Value>, StoreError> {
    let (_, sealed) = content.sealed.columns();
    let mut values = name(key);
    values.extend([
        bytes(Token::UNWRITTEN.followed_by(batch)),
        Value::Text(content.document.clone()),
        Value::OptionalBytes(sealed.map(<[u8]>::to_vec)),
        Value::OptionalText(content.unique.clone()),
        Value::Flag(content.is_final),
    ]);
    values.extend(index(&content.index)?);
    Ok(values)
}

fn replace(
    key: &RecordKey,
    token: Token,
    content: &Content,
    batch: BatchId,
) -> Result<Statement, StoreError> {
    let (keep, sealed) = content.sealed.columns();
    let mut values = name(key);
    values.extend([
        bytes(token),
        bytes(token.followed_by(batch)),
        Value::Text(content.document.clone()),
        Value::Flag(keep),
        Value::OptionalBytes(sealed.map(<[u8]>::to_vec)),
        Value::OptionalText(content.unique.clone()),
        Value::Flag(content.is_final),
    ]);
    values.extend(index(&content.index)?);
    let statement = "UPDATE records SET version = version + 1, token = $5, document = $6, \
                     sealed = CASE WHEN $7 THEN sealed ELSE $8 END, unique_text = $9, \
                     is_final = $10, subject = $11, client = $12, kept_until = $13 \
                     WHERE kind = $1 AND owner = $2 AND id = $3 AND token = $4 AND NOT is_final";
    Ok((statement, values))
}

fn delete(key: &RecordKey, token: Token) -> Statement {
    let mut values = name(key);
    values.push(bytes(token));
    let statement = "DELETE FROM records WHERE kind = $1 AND owner = $2 AND id = $3 \
                     AND token = $4 AND NOT is_final";
    (statement, values)
}

/// Writes a record of a dump as it is.
pub(in crate::store) async fn insert(
    connection: &mut impl Connection,
    record: Record,
) -> Result<(), CommitError> {
    let mut values = name(&record.key);
    values.extend([
        Value::Number(signed(record.version)?),
        bytes(record.token),
        Value::Text(record.document),
        Value::OptionalBytes(record.sealed),
        Value::OptionalText(record.unique),
        Value::Flag(record.is_final),
    ]);
    values.extend(index(&record.index)?);
    let statement = "INSERT INTO records (kind, owner, id, version, token, document, sealed, \
                     unique_text, is_final, subject, client, kept_until) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    match connection.execute(statement, values).await? {
        1 => Ok(()),
        _ => Err(failed(std::io::Error::other("a record was not written")).into()),
    }
}
